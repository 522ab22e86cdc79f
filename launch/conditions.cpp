#include "launch/conditions.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "launch/captions.h"

namespace ganymede {

CompanionNeeds needs_of(const ImageSpec& spec) {
  using Sources = CompanionNeeds::Sources;
  CompanionNeeds needs;
  if (spec.sources == SourceImages::paired) needs.sources = Sources::paired;
  if (spec.sources == SourceImages::unpaired) needs.sources = Sources::unpaired;
  needs.source_channels = spec.source_channels;
  needs.embedding = spec.embedding;
  needs.embedding_rows = spec.embedding_rows;
  needs.other_embeddings = spec.embedding > 0 && spec.embedding_rows == 0;
  needs.tokens = spec.tokens;
  needs.vocabulary = spec.vocabulary;
  return needs;
}

bool draws_from_dataset(const ImageSpec& spec) {
  return spec.sources == SourceImages::own || needs_of(spec).any();
}

void set_conditions(SampleOptions& options, const ImageSpec& spec,
                    std::shared_ptr<const ImageDataset> dataset) {
  CompanionNeeds needs = needs_of(spec);
  if (!draws_from_dataset(spec)) return;
  // What images are drawn from needs no partner.
  if (needs.sources == CompanionNeeds::Sources::paired) needs.sources = CompanionNeeds::Sources::unpaired;
  check_companions(*dataset, needs);
  if (spec.sources != SourceImages::none) {
    const ImageDataset& sources =
        spec.draws_sources || spec.sources == SourceImages::own ? *dataset : *dataset->sources();
    if (spec.sources == SourceImages::own && sources.channels() != spec.channels)
      fail(ExitCode::dataset,
           "the conditions' images have {} channels, the networks expect {}: pack with --channels",
           sources.channels(), spec.channels);
    if (sources.height() != spec.height || sources.width() != spec.width)
      fail(ExitCode::dataset,
           "the conditions' sources have {} x {} pixels, the networks expect {} x {}: pack with --size",
           sources.width(), sources.height(), spec.width, spec.height);
    options.sources = [dataset, &sources](std::int64_t first, std::int64_t count) {
      return read_sources(sources, first, count);
    };
  }
  if (spec.embedding > 0)
    options.embeddings = [dataset, all = spec.embedding_rows > 1](std::int64_t first, std::int64_t count) {
      return all ? read_all_embeddings(*dataset->embeddings(), first, count)
                 : read_embeddings(*dataset->embeddings(), first, count);
    };
  if (spec.tokens > 0)
    options.tokens = [dataset](std::int64_t first, std::int64_t count) {
      return read_tokens(*dataset->tokens(), first, count);
    };
}

void set_conditions(SampleOptions& options, const ImageSpec& spec, const ImageDataset& dataset) {
  set_conditions(options, spec, std::shared_ptr<const ImageDataset>(std::shared_ptr<void>(), &dataset));
}

Conditions open_conditions(Process& process, SampleOptions& options, const ImageSpec& spec,
                           const std::string& file, const Manifest& manifest) {
  if (!draws_from_dataset(spec)) {
    process.together([&] {
      if (!file.empty())
        fail(ExitCode::options, "--conditions {}: this run draws from nothing but labels: leave it out",
             file);
    });
    return {};
  }
  std::vector<std::filesystem::path> files{file};
  process.together([&] {
    if (!file.empty()) return;
    files.clear();
    for (const auto& path : manifest.header.value("data", nlohmann::json::array()))
      if (path.is_string()) files.emplace_back(path.get<std::string>());
    if (files.empty())
      fail(ExitCode::options,
           "this run draws from a dataset's images, sources, embeddings or captions: name one by "
           "--conditions");
  });
  const std::string layout = process.from_root([&] { return ImageDataset::inspect(files); });
  Conditions conditions;
  process.together([&] {
    const int neighbours = process.world().local_size();
    const auto dataset = std::make_shared<const ImageDataset>(
        ImageDataset::attach(layout, ImageDataset::default_cache(neighbours)));
    if (spec.tokens > 0) check_vocabulary(*dataset, manifest);
    set_conditions(options, spec, dataset);
    conditions = {dataset->digest(), dataset->size()};
  });
  return conditions;
}

nlohmann::json paths_of(const ImageDataset& dataset) {
  nlohmann::json paths = nlohmann::json::array();
  for (const DatasetFile& file : dataset.files()) paths.push_back(file.layout().path);
  return paths;
}

at::Tensor beside_sources(const at::Tensor& images, const at::Tensor& sources) {
  if (sources.size(1) != 1 && sources.size(1) != images.size(1)) return images;
  return at::cat({sources.to(images.scalar_type()).expand({-1, images.size(1), -1, -1}), images}, 3);
}

}  // namespace ganymede
