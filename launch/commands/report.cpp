#include <ATen/ATen.h>

#include "core/image_grid.h"
#include "core/run_folder.h"
#include "launch/commands.h"
#include "launch/conditions.h"
#include "launch/draw.h"
#include "launch/flag_command.h"
#include "launch/loaded_run.h"
#include "launch/report/comparison.h"
#include "launch/report/page.h"
#include "launch/report/run_report.h"
#include "launch/threads.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

constexpr const char* usage =
    R"(usage: ganymede report RUN [--out FILE.html]
       ganymede report --compare RUN|CHECKPOINT|F.h5 --reference F.h5 [OPTION ...]

Writes one HTML page that needs no network. The first shows a run, also one under way: losses, scores,
samples, options. The second shows a person real and generated images in random order and counts who is
fooled: confusion, accuracy and its confidence interval.

)";

const std::vector<Flag> flags{
    {"out", "FILE.html", "the page [RUN/report.html or RUN/compare.html]"},
    {"compare", "RUN|CHECKPOINT|F.h5", "whose images are the generated ones"},
    {"reference", "F.h5", "whose images are the real ones"},
    {"count", "N", "images on the page [100]"},
    {"seed", "S", "of images and their order [0]"},
    {"truncation", "T", "draw z from a normal truncated to +-T [not truncated]"},
    {"device", "auto|cpu|cuda", "what computes [auto]"},
    {"help", "", "this text"},
};

struct Request {
  fs::path run, compare, reference, out;
  std::int64_t count = 100;
  std::string device = "auto";
  SampleOptions options;
};

bool is_dataset(const fs::path& path) {
  return path.extension() == ".h5" || path.extension() == ".hdf5";
}

Request read_request(const CommandLine& line) {
  Request request;
  request.compare = line.value("compare");
  if (request.compare.empty() == line.positional.empty() || line.positional.size() > 1)
    fail(ExitCode::options, "name one run, or give --compare and --reference");
  if (!line.positional.empty()) {
    for (const char* flag : {"reference", "count", "seed", "truncation", "device"})
      if (line.has(flag)) fail(ExitCode::options, "--{} goes with --compare", flag);
    request.run = line.positional.front();
    request.out = line.value("out", (request.run / "report.html").string());
    return request;
  }
  request.reference = line.required("reference", "the dataset that holds real images");
  request.count = line.integer("count", 100, {1, 10000});
  request.options.seed = static_cast<std::uint64_t>(line.integer("seed", 0, {0, 9e15}));
  OptionSchema schema;
  schema.add("--truncation", request.options.truncation, "", {0, 100}, "");
  schema.add("--device", request.device, {"auto", "cpu", "cuda"}, "");
  for (const char* name : {"truncation", "device"})
    if (line.has(name)) schema.apply({{fmt::format("--{}", name), {line.value(name), "command line"}}});
  std::error_code ignored;
  const bool in_run = fs::exists(request.compare / RunFolder::config_name, ignored);
  request.out = in_run ? line.value("out", (request.compare / "compare.html").string())
                       : line.required("out", "the page to write");
  return request;
}

void write_page(const fs::path& out, const std::string& text) {
  write_file_durably(out, text);
  fmt::print("{}\n", fs::absolute(out).lexically_normal().string());
}

/// Draws as many images as are not real, on all ranks; the images are rank 0's.
void generate(Process& process, const Request& request, std::int64_t count, Comparison& comparison) {
  LoadedRun run(process, request.compare, request.device);
  const ImageSpec spec = run.images();
  const Drawing drawing{count, 64, request.options.seed, {}, spec.classes};
  SampleOptions options = request.options;
  open_conditions(process, options, spec, "", run.checkpoint().manifest);
  const auto sampler = run.method().sampler(options);
  const ImageSpec drawn = run.samples();
  std::vector<at::Tensor> images{at::empty({0, drawn.channels, drawn.height, drawn.width}, at::kByte)};
  draw(process, *sampler, drawing,
       [&](std::int64_t, const at::Tensor& part, const at::Tensor&) { images.push_back(to_bytes(part)); });
  comparison.generated = at::cat(images);
  comparison.source =
      fmt::format("{}, step {}", run.checkpoint().path.string(), run.checkpoint().manifest.step);
}

ExitCode compare(Process& process, const Request& request) {
  process.watch(TrainOptions{}.watchdog_seconds);
  set_threads(process, 0);
  Comparison comparison;
  comparison.seed = request.options.seed;
  comparison.is_real = draw_places(request.count, comparison.seed);
  comparison.reference = request.reference.string();
  const auto real = std::ranges::count(comparison.is_real, true);
  const std::int64_t generated = request.count - real;
  process.together([&] {
    if (!process.is_root()) return;
    const auto open = [](const fs::path& path) {
      return ImageDataset::attach(ImageDataset::inspect({path}));
    };
    comparison.real = draw_images(open(request.reference), real, comparison.seed, "real");
    if (!is_dataset(request.compare)) return;
    comparison.generated = draw_images(open(request.compare), generated, comparison.seed, "generated");
    comparison.source = request.compare.string();
  });
  if (!is_dataset(request.compare)) generate(process, request, generated, comparison);
  process.together([&] {
    if (process.is_root())
      write_page(request.out, page_text(Page::comparison, "Real or generated?", comparison_data(comparison)));
  });
  return ExitCode::done;
}

ExitCode report(Process& process, const Request& request) {
  if (!request.compare.empty()) return compare(process, request);
  process.together([&] {
    if (!process.is_root()) return;
    const nlohmann::json data = run_report(request.run);
    write_page(request.out, page_text(Page::report, data["name"].get<std::string>() + " – Ganymede", data));
  });
  return ExitCode::done;
}

}  // namespace

int report_command(std::span<const std::string> arguments) {
  return run_flag_command(
      arguments, flags, [] { return usage + flag_help(flags); }, read_request, report);
}

}  // namespace ganymede
