#include "launch/encode_action.h"

#include <fmt/ranges.h>

#include "launch/latent_packer.h"
#include "launch/loaded_run.h"
#include "launch/progress_line.h"
#include "launch/text.h"
#include "launch/threads.h"
#include "models/features/weights_digest.h"
#include "models/first_stages/autoencoder_method.h"

namespace ganymede {
namespace fs = std::filesystem;

const char* const encode_usage =
    R"(usage: ganymede dataset encode IMAGES.h5 OUT.h5 --first-stage RUN|CHECKPOINT [OPTION ...]
       mpirun -n RANKS ganymede dataset encode ...

Makes a dataset of the latents of images, and of the images mirrored, for train --first-stage. All ranks
encode; the same command goes on with what a stopped one has left in OUT.h5.parts.

)";

const std::vector<Flag> encode_flags{
    {"first-stage", "RUN|CHECKPOINT", "of train.method = autoencoder; a run's newest sound checkpoint"},
    {"precision", "fp32|bf16", "of the encoder's maps [the run's own]"},
    {"batch", "B", "images that a rank encodes at once [32]"},
    {"device", "auto|cpu|cuda", "what computes [auto]"},
    {"watchdog.seconds", "S", "without progress until the job ends, 0 for never [300]"},
    {"force", "", "replace OUT.h5 if it exists"},
    {"help", "", "this text"},
};

namespace {

struct Request {
  fs::path images, out, first_stage;
  std::string precision = {}, device = "auto";  ///< precision: empty = the run's own
  std::int64_t batch = 32;
  double watchdog_seconds = TrainOptions{}.watchdog_seconds;
  bool force = false;
};

Request read_request(const CommandLine& line) {
  if (line.positional.size() != 2)
    fail(ExitCode::options, "ganymede dataset encode takes IMAGES.h5 and OUT.h5, {} given: see --help",
         line.positional.size());
  Request request{line.positional[0], line.positional[1],
                  line.required("first-stage", "the run whose autoencoder encodes")};
  OptionSchema schema;
  schema.add("--precision", request.precision, {"fp32", "bf16"}, "");
  schema.add("--device", request.device, {"auto", "cpu", "cuda"}, "");
  schema.add("--watchdog.seconds", request.watchdog_seconds, "s", {0, 1e6}, "");
  for (const char* name : {"precision", "device", "watchdog.seconds"})
    if (line.has(name)) schema.apply({{fmt::format("--{}", name), {line.value(name), "command line"}}});
  request.batch = line.integer("batch", 32, {1, 256});
  request.force = line.has("force");
  return request;
}

void check_images(const ImageDataset& images, const fs::path& path, const ImageSpec& spec) {
  if (images.channels() != spec.channels || images.height() != spec.height || images.width() != spec.width)
    fail(ExitCode::dataset,
         "{} has images of {} x {} x {}, the first stage encodes {} x {} x {}: pack them with --size",
         path.string(), images.channels(), images.height(), images.width(), spec.channels, spec.height,
         spec.width);
}

/// The type of the encoder's maps.
at::ScalarType maps_of(const Request& request, const TrainOptions& run) {
  if (request.precision.empty()) return run.activations();
  return request.precision == "bf16" ? at::kBFloat16 : run.dtype();
}

ExitCode encode(Process& process, const Request& request) {
  process.watch(request.watchdog_seconds);
  set_threads(process, 0);
  process.together([&] {
    std::error_code unknown;  // what cannot be looked at cannot be written either: the writer says why
    if (process.is_root() && !request.force && fs::exists(request.out, unknown))
      fail(ExitCode::options, "{} exists: choose another name, or --force to replace it",
           request.out.string());
    if (process.is_root() && fs::equivalent(request.images, request.out, unknown))
      fail(ExitCode::options, "{}: the latents would take the place of their images: choose another name",
           request.out.string());
  });
  LoadedRun run(process, request.first_stage, request.device);
  const std::string layout = process.from_root([&] {
    const std::string found = ImageDataset::inspect({request.images});
    if (!LatentNotes::of(layout_from_json(found)).first_stage.empty())
      fail(ExitCode::dataset, "{}: latents already: give the images that they are of", request.images.string());
    return found;
  });
  std::optional<ImageDataset> images;
  std::shared_ptr<Autoencoder> network;
  const auto* method = dynamic_cast<const AutoencoderMethod*>(&run.method());
  process.together([&] {
    if (!method)
      fail(ExitCode::options, "--first-stage {}: train.method = {}: give a run of train.method = autoencoder",
           request.first_stage.string(), run.options().train.method);
    images.emplace(ImageDataset::attach(layout, ImageDataset::default_cache(process.world().local_size())));
    check_images(*images, request.images, run.images());
    network = method->network(/*average=*/true);
  });
  ProgressLine progress(stderr, 10);
  LatentPacker packer(
      {.process = process,
       .images = *images,
       .network = *network,
       .options = method->network_options(),
       .first_stage = weights_digest(parameters_of(*network)),
       .out = request.out,
       .batch = request.batch,
       .activations = maps_of(request, run.options().train),
       .advance = [&](std::int64_t done, std::int64_t total) {
         progress.advance(done, total);
         progress.show(fmt::format("{} of {} images, {:.0f} images/s, {} left", with_thousands(done),
                                   with_thousands(total), progress.rate(),
                                   duration_text(progress.seconds_left())));
       }});
  const std::int64_t kept = packer.encode_all();
  const LatentNotes notes = packer.write();
  progress.finish();
  if (process.is_root())
    fmt::print(
        "{}: latents of {} images{}, first stage {} of step {}; channels' means {:.4g}, deviations {:.4g}\n",
        request.out.string(), with_thousands(images->size()),
        kept > 0 ? fmt::format(", {} of them from before", with_thousands(kept)) : "", notes.first_stage,
        run.checkpoint().manifest.step, fmt::join(notes.mean, ", "), fmt::join(notes.deviation, ", "));
  return ExitCode::done;
}

}  // namespace

int encode_action(const CommandLine& line) {
  return run_as_rank([&](Process& process) {
    Request request;
    process.together([&] { request = read_request(line); });
    return encode(process, request);
  });
}

}  // namespace ganymede
