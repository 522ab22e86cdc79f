#include <ATen/ATen.h>

#include "core/files.h"
#include "core/image_grid.h"
#include "core/safetensors.h"
#include "evaluation/nearest_images.h"
#include "launch/commands.h"
#include "launch/conditions.h"
#include "launch/flag_command.h"
#include "launch/image_sink.h"
#include "launch/loaded_run.h"
#include "launch/progress_line.h"
#include "launch/scoring.h"
#include "launch/text.h"
#include "launch/threads.h"
#include "models/encoders/projector.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

constexpr const char* usage =
    R"(usage: ganymede project --from RUN|CHECKPOINT --data IMAGES --out DIR [OPTION ...]
       mpirun -n RANKS ganymede project ...

Looks for the latents whose images are like given ones: DIR gets projections.png (pairs: an image, what was found of
it), latents.safetensors and projections.jsonl. The same results at any number of ranks, each of which computes with one
thread: give as many as there are cores, and a --batch that leaves images for each.

)";

const std::vector<Flag> flags{
    {"from", "RUN|CHECKPOINT", "a run folder (its newest sound checkpoint) or one checkpoint, of a GAN"},
    {"data", "IMAGES", "what is projected: a dataset (.h5), a folder, an archive or an .npz"},
    {"out", "DIR", "a new folder"},
    {"count", "N", "images [16, or as many as there are]"},
    {"first", "I", "index of the first of them [0]"},
    {"space", "z|w|w+",
     "what is looked for: z, or of networks with styles one for all layers, or for each [z]"},
    {"steps", "N", "of the search; 0 shows what an encoder says [1000]"},
    {"lr", "LR", "Adam's highest learning rate [0.05 for z, 0.1 for styles]"},
    {"noise", "S", "noise that styles are searched with, in their deviations [0.05]"},
    {"loss", "l2|anogan", "what is made small: squared error, or AnoGAN's score [l2]"},
    {"lpips", "VGG16[,HEADS]", "weights of LPIPS, which then counts too, in one file or two"},
    {"lpips-weight", "W", "how much LPIPS counts [1]"},
    {"anomaly", "", "give each image AnoGAN's score, too"},
    {"anomaly-lambda", "L", "share of the discriminator's features in that [0.1]"},
    {"ema", "true|false", "the moving average of the weights [true]"},
    {"seed", "S", "of random starts and noise [0]"},
    {"batch", "B", "images that a rank projects at once; rounding may depend on it [4]"},
    {"watchdog.seconds", "S", "without progress until the job ends, 0 for never [300]"},
    {"device", "auto|cpu|cuda", "what computes [auto]"},
    {"help", "", "this text"},
};

struct Request {
  fs::path from, data, out;
  std::int64_t count = 0, first = 0, batch = 4;
  ProjectorOptions options;
  SampleOptions weights;
  std::string lpips, device = "auto";
  bool anomaly = false;
  double watchdog_seconds = TrainOptions{}.watchdog_seconds;
};

Request read_request(const CommandLine& line) {
  if (!line.positional.empty()) fail(ExitCode::options, "unexpected argument '{}'", line.positional.front());
  Request request;
  request.from = line.required("from", "a run folder or a checkpoint");
  request.data = line.required("data", "the images to project");
  request.out = line.required("out", "a new folder");
  if (is_no_folder(request.out) || request.out.extension() == ".png" || request.out.extension() == ".h5")
    fail(ExitCode::options, "--out {}: a projection fills a folder: name a new one", request.out.string());
  request.count = line.integer("count", 0, {1, 1e6});
  request.first = line.integer("first", 0, {0, 1e12});
  request.batch = line.integer("batch", request.batch, {1, 1e5});
  request.anomaly = line.has("anomaly");
  request.lpips = line.value("lpips");
  ProjectorOptions& options = request.options;
  options.seed = static_cast<std::uint64_t>(line.integer("seed", 0, {0, 9e15}));
  options.steps = line.integer("steps", 1000, {0, 1e6});
  double lpips_weight = 1;
  OptionSchema schema;
  schema.add("--space", options.space, {"z", "w", "w+"}, "");
  schema.add("--lr", options.lr, "", {1e-9, 100}, "");
  schema.add("--noise", options.noise, "", {0, 100}, "");
  schema.add("--loss", options.loss, {"l2", "anogan"}, "");
  schema.add("--lpips-weight", lpips_weight, "", {1e-9, 1e6}, "");
  schema.add("--anomaly-lambda", options.lambda, "", {0, 1}, "");
  schema.add("--ema", request.weights.ema, "");
  schema.add("--watchdog.seconds", request.watchdog_seconds, "s", {0, 1e6}, "");
  schema.add("--device", request.device, {"auto", "cpu", "cuda"}, "");
  for (const char* name : {"space", "lr", "noise", "loss", "lpips-weight", "anomaly-lambda", "ema",
                           "watchdog.seconds", "device"})
    if (line.has(name)) schema.apply({{fmt::format("--{}", name), {line.value(name), "command line"}}});
  if (line.has("lpips-weight") && request.lpips.empty())
    fail(ExitCode::options, "--lpips-weight weighs LPIPS: give its weights, --lpips VGG16[,HEADS]");
  if (line.has("anomaly-lambda") && !request.anomaly && options.loss != "anogan")
    fail(ExitCode::options, "--anomaly-lambda is of AnoGAN's score: give --anomaly or --loss anogan");
  if (line.has("noise") && options.space == "z")
    fail(ExitCode::options, "--noise is of a search for styles: give --space w or w+, or leave it out");
  for (const char* name : {"lr", "noise", "loss", "lpips-weight"})
    if (line.has(name) && options.steps == 0)
      fail(ExitCode::options, "--{} is of a search, and --steps 0 makes none: leave one of them out", name);
  if (!request.lpips.empty()) options.lpips = lpips_weight;
  return request;
}

/// Projects images in runs of `batch`, which are cut alike at any number of ranks.
class ProjectionJob {
 public:
  /// All must outlive it.
  ProjectionJob(Process& process, const Request& request, Projector& projector, const ImageSpec& spec,
                ImageSet& images)
      : process_(process), request_(request), projector_(projector), spec_(spec), images_(images) {
    figure_names_ = {"distance"};
    if (!request.lpips.empty()) figure_names_.push_back("lpips");
    if (request.anomaly)
      for (const char* name : {"residual", "features", "anomaly"}) figure_names_.push_back(name);
  }

  /// What rank 0 has of all images, in order; undefined elsewhere.
  struct Found {
    at::Tensor pairs;    ///< bytes [2 N, C, H, W]: each image, and what was found of it
    at::Tensor latents;  ///< [N, ...] float32
    at::Tensor figures;  ///< [N, figure_names().size()] float64
  };
  const std::vector<std::string>& figure_names() const { return figure_names_; }

  /// Collective.
  Found project_all() {
    const std::int64_t run = std::min(request_.batch, request_.count), ranks = process_.size();
    const std::vector<std::int64_t> shape = projector_.latent_shape();
    const std::int64_t latent = c10::multiply_integers(shape);
    std::vector<at::Tensor> pairs, rows;
    rounds_ = (request_.count + run * ranks - 1) / (run * ranks);
    for (round_ = 0; round_ < rounds_; ++round_) {
      const std::int64_t begin = round_ * run * ranks, own = begin + process_.rank() * run;
      process_.note("projecting");
      at::Tensor cells = at::zeros({2 * run, spec_.channels, spec_.height, spec_.width}, at::kByte);
      at::Tensor numbers = at::zeros({run, latent + std::ssize(figure_names_)}, at::kDouble);
      if (const std::int64_t wanted = std::min(run, request_.count - own); wanted > 0)
        project(own, wanted, cells, numbers);
      else
        for (std::int64_t step = 0; step < request_.options.steps; ++step) meet();
      const std::int64_t there = std::min(run * ranks, request_.count - begin);
      gather(cells, 2 * there, pairs);
      gather(numbers, there, rows);
    }
    line_.finish();
    if (!process_.is_root()) return {};
    const at::Tensor all = at::cat(rows);
    std::vector<std::int64_t> latents{request_.count};
    latents.insert(latents.end(), shape.begin(), shape.end());
    return {at::cat(pairs), all.narrow(1, 0, latent).to(at::kFloat).reshape(latents),
            all.narrow(1, latent, std::ssize(figure_names_)).contiguous()};
  }

 private:
  /// Images own .. own + count - 1 into the first rows of `cells` and `numbers`.
  void project(std::int64_t own, std::int64_t count, at::Tensor& cells, at::Tensor& numbers) {
    const std::int64_t first = request_.first + own;
    const at::Tensor places = at::arange(first, first + count, at::kLong);
    const at::Tensor bytes = read_images(images_, places);
    const Projections result = projector_.project(first, bytes.to(at::kFloat) / 127.5 - 1, labels_at(places),
                                                  request_.anomaly, [&](std::int64_t step) {
                                                    meet();
                                                    show(own, count, step);
                                                  });
    std::vector<at::Tensor> row{result.latents.flatten(1)};
    for (const at::Tensor& figure :
         {result.distance, result.lpips, result.residual, result.feature, result.anomaly})
      if (figure.defined()) row.push_back(figure.unsqueeze(1));
    for (at::Tensor& part : row) part = part.cpu().to(at::kDouble);
    numbers.narrow(0, 0, count).copy_(at::cat(row, 1));
    cells.narrow(0, 0, 2 * count).copy_(at::stack({bytes, to_bytes(result.images.cpu())}, 1).flatten(0, 1));
  }

  at::Tensor labels_at(const at::Tensor& places) const {
    if (spec_.classes == 1 || !images_.labels().defined()) return at::zeros_like(places);
    return images_.labels().index_select(0, places).clamp_min(0);
  }

  /// After each step of the search, on every rank: to the watchdog one without images, which waited for the whole
  /// search of the others, would be one that hangs.
  void meet() {
    process_.note("projecting");
    process_.world().barrier();
  }

  void show(std::int64_t own, std::int64_t count, std::int64_t step) {
    if (!process_.is_root()) return;
    const std::int64_t steps = request_.options.steps;
    line_.advance(round_ * steps + step, rounds_ * steps);
    line_.show(fmt::format("images {} to {} of {}, step {} of {}, {:.1f} steps/s, {} left", own + 1,
                           std::min(own + count * process_.size(), request_.count), request_.count, step,
                           steps, line_.rate(), duration_text(line_.seconds_left())));
  }

  /// Of every rank's rows, in their order, the first `there`, to `taken` on rank 0.
  void gather(const at::Tensor& mine, std::int64_t there, std::vector<at::Tensor>& taken) {
    std::vector<std::int64_t> shape = mine.sizes().vec();
    shape[0] *= process_.size();
    at::Tensor all = at::empty(shape, mine.options());
    process_.world().all_gather(all, mine)->wait();
    if (process_.is_root()) taken.push_back(all.narrow(0, 0, there).clone());
  }

  Process& process_;
  const Request& request_;
  Projector& projector_;
  const ImageSpec& spec_;
  ImageSet& images_;
  std::vector<std::string> figure_names_;
  ProgressLine line_{stderr, 10};
  std::int64_t round_ = 0, rounds_ = 0;
};

std::int64_t grid_pairs(std::int64_t count) {
  return std::min<std::int64_t>(count, 6);
}

/// Throws where these images are not what the run's generator makes; says how many are projected.
void check_images(Request& request, const ImageSpec& spec, const ImageSet& images) {
  const ImageSetDescription& set = images.description();
  if (set.channels != spec.channels || set.height != spec.height || set.width != spec.width)
    fail(ExitCode::dataset, "--data {}: its images are {}x{}x{}, the run's {}x{}x{}", set.name, set.channels,
         set.height, set.width, spec.channels, spec.height, spec.width);
  if (images.granularity() != 1) throw std::logic_error("images that are tied");
  if (request.first >= set.count)
    fail(ExitCode::options, "--first {}: {} has {} images", request.first, set.name, set.count);
  const std::int64_t most = set.count - request.first;
  if (request.count > most)
    fail(ExitCode::options, "--count {}: {} has {} images from --first {} on", request.count, set.name, most,
         request.first);
  if (request.count == 0) request.count = std::min<std::int64_t>(16, most);
  if (images.labels().defined())
    if (const auto top = images.labels().max().item<std::int64_t>(); spec.classes > 1 && top >= spec.classes)
      fail(ExitCode::dataset, "--data {}: it has a label {}, and the run {} classes", set.name, top,
           spec.classes);
  check_grid(2 * request.count, 2 * grid_pairs(request.count), spec.height, spec.width);
}

void write_results(const Request& request, const ProjectionJob& job, const ProjectionJob::Found& found,
                   const std::string& source) {
  std::string lines;
  for (std::int64_t i = 0; i < request.count; ++i) {
    nlohmann::ordered_json line{{"index", request.first + i}};
    for (std::size_t k = 0; k < job.figure_names().size(); ++k)
      line[job.figure_names()[k]] = found.figures[i][static_cast<std::int64_t>(k)].item<double>();
    lines += line.dump() + "\n";
  }
  write_grid(request.out / "projections.png", found.pairs, 2 * grid_pairs(request.count));
  write_safetensors(request.out / "latents.safetensors", {{request.options.space, found.latents}},
                    {{"source", source}, {"space", request.options.space}});
  write_file_durably(request.out / "projections.jsonl", lines);
}

ExitCode project(Process& process, Request request) {
  process.watch(request.watchdog_seconds);
  // Sums of several threads round differently, and a search of many steps shows it.
  set_threads(process, 1);
  LoadedRun run(process, request.from, request.device);
  const ImageSpec spec = run.images();
  std::unique_ptr<ProjectionNetworks> networks;
  std::optional<Lpips> lpips;
  process.together([&] {
    if (draws_from_dataset(spec))
      fail(ExitCode::options,
           "--from {}: this run's images are drawn from a dataset's images, sources or embeddings, not from "
           "latents alone: give a "
           "run without them",
           request.from.string());
    networks = run.method().projection(request.weights);
    if (!networks)
      fail(ExitCode::options,
           "--from {}: train.method = {} has no latent space to project into: give a GAN's run",
           request.from.string(), run.options().train.method);
    request.options.check(*networks, spec, request.anomaly);
    if (!request.lpips.empty()) lpips.emplace(read_lpips(request.lpips, process.device()));
  });
  const std::unique_ptr<ImageSet> images = open_images(process, request.data);
  process.together([&] {
    check_images(request, spec, *images);
    if (process.is_root()) create_empty_folder(request.out);
  });

  Projector projector(*networks, request.options, lpips ? &*lpips : nullptr);
  ProjectionJob job(process, request, projector, spec, *images);
  const ProjectionJob::Found found = job.project_all();
  process.together([&] {
    if (process.is_root()) write_results(request, job, found, run.checkpoint().path.string());
  });
  if (process.is_root()) {
    const at::Tensor means = found.figures.mean(0);
    std::string text;
    for (std::size_t k = 0; k < job.figure_names().size(); ++k)
      text += fmt::format("{} {} {:.5g}", text.empty() ? ": mean" : ",", job.figure_names()[k],
                          means[static_cast<std::int64_t>(k)].item<double>());
    fmt::print("{} images projected into {} of step {}{}: {}\n", request.count, request.options.space,
               run.checkpoint().manifest.step, text, request.out.string());
  }
  return ExitCode::done;
}

}  // namespace

int project_command(std::span<const std::string> arguments) {
  return run_flag_command(
      arguments, flags, [] { return usage + flag_help(flags); }, read_request, project);
}

}  // namespace ganymede
