#include "launch/scoring.h"

#include "core/manifest.h"
#include "core/run_folder.h"
#include "evaluation/dataset_images.h"
#include "evaluation/sampled_images.h"
#include "evaluation/shared_error.h"
#include "evaluation/stored_images.h"

namespace ganymede {
namespace fs = std::filesystem;

std::unique_ptr<ImageSet> open_images(Process& process, const fs::path& path) {
  std::unique_ptr<ImageSet> images;
  if (path.extension() == ".h5" || path.extension() == ".hdf5") {
    const std::string layout = process.from_root([&] { return ImageDataset::inspect({path}); });
    process.together([&] {
      const int neighbours = process.world().local_size();
      images = std::make_unique<DatasetImages>(std::make_shared<ImageDataset>(
          ImageDataset::attach(layout, ImageDataset::default_cache(neighbours))));
    });
  } else {
    process.together([&] { images = std::make_unique<StoredImages>(path); });
  }
  return images;
}

bool is_run(const fs::path& path) {
  std::error_code unreachable;
  return fs::exists(path / Manifest::file_name, unreachable) ||
         fs::exists(path / RunFolder::config_name, unreachable) ||
         fs::is_directory(path / "checkpoints", unreachable);
}

std::unique_ptr<ImageSet> drawn_images(Sampler& sampler, const Drawing& drawing, const ImageSpec& spec,
                                       std::string name, nlohmann::json details) {
  const auto labels = [&drawing](std::int64_t first, std::int64_t count) {
    return labels_of(drawing, first, count);
  };
  return std::make_unique<SampledImages>(
      sampler, drawing.count, std::array{spec.channels, spec.height, spec.width}, labels, spec.classes > 1,
      std::move(name), std::move(details), spec.sources == SourceImages::own ? "reconstructions" : "samples");
}

nlohmann::json drawing_details(const SampleOptions& options, const Drawing& drawing, const RunOptions& run,
                               bool has_average) {
  constexpr std::string_view section = "sampler.";
  nlohmann::json details{{"ema", options.ema && has_average},
                         {"truncation", options.truncation},
                         {"batch_norm", options.batch_norm},
                         {"seed", options.seed}};
  if (options.psi != 1) details["psi"] = options.psi;
  for (const auto& [key, setting] : parse_recipe(run.schema.to_recipe(), "run"))
    if (key.starts_with(section)) details["sampler"][key.substr(section.size())] = setting.value;
  if (drawing.class_count > 1)
    details["labels"] =
        drawing.classes.empty() ? nlohmann::json("uniformly random") : nlohmann::json(drawing.classes);
  return details;
}

void score_together(const std::function<void()>& work, bool is_root) {
  try {
    work();
  } catch (const SharedError& error) {
    throw AgreedError(error.code(), error.what(), is_root);
  }
}

std::vector<const Metric*> read_metrics(const std::string& text) {
  std::vector<const Metric*> chosen;
  std::istringstream stream(text);
  for (std::string name; std::getline(stream, name, ',');) {
    const Metric& metric = find_metric(name);
    if (std::ranges::find(chosen, &metric) != chosen.end())
      fail(ExitCode::options, "the metric {} is named twice", name);
    chosen.push_back(&metric);
  }
  if (chosen.empty()) fail(ExitCode::options, "no metric is named: fid, for one");
  return chosen;
}

Lpips read_lpips(const std::string& files, at::Device device) {
  const std::size_t comma = files.find(',');
  const std::string trunk = files.substr(0, comma);
  const std::string heads = comma == files.npos ? trunk : files.substr(comma + 1);
  FrozenPlace place;
  place.device = device;
  return Lpips::load(trunk, heads, place);
}

std::string score_table(const Evaluation& evaluation) {
  std::string text;
  for (const Score& score : evaluation.scores)
    text += fmt::format("{:<14} {:>12.6g}{}\n", score.name, score.value,
                        score.error ? fmt::format("  +- {:.3g}", *score.error) : "");
  return text;
}

std::string score_line(const Evaluation& evaluation) {
  std::string text;
  for (const Score& score : evaluation.scores)
    text += fmt::format("{}{} {:.5g}", text.empty() ? "" : ", ", score.name, score.value);
  return text;
}

}  // namespace ganymede
