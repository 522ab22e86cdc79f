#include "launch/captions.h"
#include "launch/commands.h"
#include "launch/conditions.h"
#include "launch/flag_command.h"
#include "launch/guiding_classifier.h"
#include "launch/loaded_run.h"
#include "launch/mixed_average.h"
#include "launch/pictures/picture.h"
#include "launch/progress_line.h"
#include "launch/sampler_flags.h"
#include "launch/text.h"
#include "launch/threads.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

constexpr const char* usage =
    R"(usage: ganymede sample --from RUN|CHECKPOINT --count N --out X.png|X.h5|DIR [OPTION ...]
       mpirun -n RANKS ganymede sample ...

Draws images, or pictures of what a generator has learned. The same seed gives the same images at any number of ranks
and any batch size.

)";

const std::vector<Flag> flags{
    {"from", "RUN|CHECKPOINT", "a run folder (its newest sound checkpoint) or one checkpoint"},
    {"count", "N", "images [64 in a grid, for other pictures see below]"},
    {"out", "X.png|X.h5|DIR", "one grid, one dataset, or a folder of PNG files; other pictures: X.png"},
    {"classes", "all|3,7", "image i has the (i mod n)-th of these n classes [random classes]"},
    {"conditions", "FILE.h5",
     "dataset whose sources, embeddings or captions images are drawn from [the run's data]"},
    {"caption", "TEXT ...", "captions to follow, in a grid a row each", true},
    {"truncation", "T", "draw z from a normal truncated to +-T [not truncated]"},
    {"psi", "PSI", "of networks with styles: w drawn towards its mean by this factor, -2 to 2 [1]"},
    {"ema", "true|false", "the moving average of the weights [true]"},
    sigma_rel_flag(),
    {"batchnorm", "running|batch|standing", "statistics that batch norm uses [running]"},
    {"seed", "S", "[0]"},
    {"batch", "B", "images a rank draws at once [64, of other pictures than a grid 16]"},
    {"watchdog.seconds", "S", "without progress until the job ends, 0 for never [300]"},
    {"device", "auto|cpu|cuda", "what computes [auto]"},
    {"help", "", "this text"},
};

std::vector<Flag> all_flags() {
  std::vector<Flag> all = with_sampler_flags(flags);
  const std::vector<Flag> more = picture_flags();
  all.insert(all.end() - 1, more.begin(), more.end());  // --help is the last
  return all;
}

struct Request {
  fs::path from, out;
  const PictureKind* picture = nullptr;
  PictureOptions picture_options;
  SampleOptions options;
  std::int64_t batch = 64;
  Settings sampler;  ///< options of the run's own that are to be others
  ClassifierRequest classifier;
  bool asks_for_average = false;
  double sigma_rel = 0;  ///< of an average that is made now; 0 = the run's own
  double watchdog_seconds = TrainOptions{}.watchdog_seconds;
  std::string classes, conditions, device = "auto";
  std::vector<std::string> captions;
};

Request read_request(const CommandLine& line) {
  if (!line.positional.empty()) fail(ExitCode::options, "unexpected argument '{}'", line.positional.front());
  Request request;
  request.from = line.required("from", "a run folder or a checkpoint");
  request.out = line.required("out", "a .png or .h5 file, or a folder");
  request.picture = &find_picture(line.value("picture", "grid"));
  request.picture_options = read_picture_options(line, *request.picture);
  request.batch = line.integer("batch", request.picture->name == "grid" ? 64 : 16, {1, 1e6});
  request.options.seed = static_cast<std::uint64_t>(line.integer("seed", 0, {0, 9e15}));
  request.classes = line.value("classes");
  request.conditions = line.value("conditions");
  if (line.has("caption")) request.captions = line.flags.at("caption");
  if (line.has("caption") && line.has("conditions"))
    fail(ExitCode::options, "--caption and --conditions both say what to follow: give one of them");
  OptionSchema schema;
  schema.add("--truncation", request.options.truncation, "", {0, 100}, "");
  schema.add("--psi", request.options.psi, "", {-2, 2}, "");
  schema.add("--ema", request.options.ema, "");
  schema.add("--watchdog.seconds", request.watchdog_seconds, "s", {0, 1e6}, "");
  schema.add("--batchnorm", request.options.batch_norm, {"running", "batch", "standing"}, "");
  schema.add("--device", request.device, {"auto", "cpu", "cuda"}, "");
  for (const char* name : {"truncation", "psi", "ema", "batchnorm", "watchdog.seconds", "device"})
    if (line.has(name)) schema.apply({{fmt::format("--{}", name), {line.value(name), "command line"}}});
  request.sampler = sampler_settings(line);
  request.classifier = read_classifier(line);
  request.sigma_rel = read_sigma_rel(line);
  if (request.sigma_rel > 0) request.options.ema = false;  // it takes the weights' place
  request.asks_for_average = line.has("ema") && request.options.ema;
  return request;
}

ExitCode sample(Process& process, Request request) {
  process.watch(request.watchdog_seconds);
  set_threads(process, 0);
  LoadedRun run(process, request.from, request.device, request.sampler);
  process.together([&] {
    run.options().method->check_sampling(request.options);
    if (request.asks_for_average && std::ranges::none_of(run.method().players(), &Player::has_average))
      fail(ExitCode::options, "--ema true: this run keeps no moving average of its weights: leave --ema out");
  });

  if (request.sigma_rel > 0) run.take_average(process, request.sigma_rel);
  const GuidingClassifier classifier(process, request.classifier, request.device);
  const PictureKind& picture = *request.picture;
  const ImageSpec spec = classifier.with_classes(run.images()),
                  drawn = classifier.with_classes(run.samples());
  Drawing drawing{request.picture_options.count, request.batch, request.options.seed, {}, spec.classes};
  process.together([&] { drawing.classes = read_classes(request.classes, spec.classes); });
  if (request.captions.empty())
    open_conditions(process, request.options, spec, request.conditions, run.checkpoint().manifest);
  else
    process.together([&] {
      drawing.columns = follow_captions(request.options, spec, run.checkpoint().manifest, request.captions,
                                        request.picture_options.count);
    });
  process.together([&] {
    if (draws_from_dataset(spec) && picture.name != "grid")
      fail(ExitCode::options,
           "--picture {}: this run's images are drawn from a dataset's images, sources, embeddings or "
           "captions, one each, not from latent vectors alone: leave it out",
           picture.name);
  });
  const auto sampler = run.method().sampler(request.options);
  classifier.guide(process, *sampler);
  process.together([&] {
    if (picture.name != "grid" && sampler->granularity() != 1)
      fail(ExitCode::options,
           "--batchnorm {}: images of one batch depend on each other: --picture {} takes others",
           request.options.batch_norm, picture.name);
  });
  ProgressLine line(stderr, 10);
  picture.write({.process = process,
                 .sampler = *sampler,
                 .spec = drawn,
                 .drawing = drawing,
                 .options = request.picture_options,
                 .out = request.out,
                 .source = run.checkpoint().path.string(),
                 .advance = [&](std::int64_t done, std::int64_t total) {
                   line.advance(done, total);
                   line.show(fmt::format("{} of {} images, {} left", with_thousands(done),
                                         with_thousands(total), duration_text(line.seconds_left())));
                 }});
  line.finish();
  if (process.is_root())
    fmt::print("{} of step {}: {}\n",
               picture.name == "grid" ? fmt::format("{} images", drawing.count) : std::string(picture.name),
               run.checkpoint().manifest.step, request.out.string());
  return ExitCode::done;
}

}  // namespace

int sample_command(std::span<const std::string> arguments) {
  const std::vector<Flag> known = all_flags();
  return run_flag_command(
      arguments, known, [&] { return usage + flag_help(known) + picture_help(); }, read_request, sample);
}

}  // namespace ganymede
