#include <ATen/ATen.h>

#include "core/error.h"
#include "evaluation/nearest_images.h"
#include "launch/pictures/cells.h"
#include "launch/pictures/kinds.h"
#include "launch/scoring.h"

namespace ganymede {
namespace {

/// Images by index: each run of consecutive ones is drawn at once.
at::Tensor images_at(Sampler& sampler, const Drawing& drawing, const std::vector<std::int64_t>& indices) {
  std::vector<at::Tensor> parts;
  for (std::size_t begin = 0, end = 0; begin < indices.size(); begin = end) {
    for (end = begin + 1; end < indices.size() && indices[end] == indices[end - 1] + 1;) ++end;
    const auto count = static_cast<std::int64_t>(end - begin);
    parts.push_back(sampler.images(indices[begin], labels_of(drawing, indices[begin], count)).cpu());
  }
  return at::cat(parts);
}

void check_reference(const PictureJob& job, const ImageSetDescription& set) {
  const ImageSpec& spec = job.spec;
  if (set.channels != spec.channels || set.height != spec.height || set.width != spec.width)
    fail(ExitCode::dataset,
         "--reference {}: its images are {} x {} x {} (channels, height, width), the run's {} x {} x {}: "
         "name the "
         "data that it was trained with",
         set.name, set.channels, set.height, set.width, spec.channels, spec.height, spec.width);
  if (set.count < job.options.neighbours)
    fail(ExitCode::dataset, "--reference {}: {} neighbours of {} images: ask for fewer with --neighbours",
         set.name, job.options.neighbours, set.count);
}

ComparedFeatures features_of(const PictureJob& job) {
  if (job.options.features == "pixels") return pixels_as_features;
  const std::shared_ptr<FeatureExtractor> extractor =
      make_feature_extractor({.file = job.options.features, .device = job.process.device()});
  return [extractor](const at::Tensor& images) { return extractor->extract(images, {}).pool; };
}

/// Rank 0's images on every rank.
at::Tensor shared_cells(const PictureJob& job, const at::Tensor& drawn) {
  at::Tensor cells = drawn.defined() ? drawn.contiguous() : blank_cells(job, job.options.count);
  job.process.world().broadcast(cells, 0)->wait();
  return cells;
}

at::Tensor in_parts(const ComparedFeatures& features, const at::Tensor& images, std::int64_t batch) {
  std::vector<at::Tensor> parts;
  for (const at::Tensor& part : images.split(batch)) parts.push_back(features(part));
  return at::cat(parts);
}

void print_neighbours(const std::vector<std::int64_t>& indices, const NearestImages& found) {
  for (std::int64_t row = 0; row < std::ssize(indices); ++row) {
    std::string line;
    for (std::int64_t k = 0; k < found.indices.size(1); ++k)
      line += fmt::format("{}{} ({:.5g})", k == 0 ? "" : ", ", found.indices[row][k].item<std::int64_t>(),
                          found.distances[row][k].item<double>());
    fmt::print("image {}: {}\n", indices[static_cast<std::size_t>(row)], line);
  }
}

}  // namespace

void write_neighbours(const PictureJob& job) {
  const std::int64_t rows = job.options.count, k = job.options.neighbours, ranks = job.process.size();
  const std::int64_t columns = k + 2;  // the image, a blank, its neighbours
  check_sheet(job, rows, columns);
  const std::vector<std::int64_t> indices = job.options.indices();
  const std::unique_ptr<ImageSet> reference = open_images(job.process, job.options.reference);
  ComparedFeatures features;
  job.process.together([&] {
    check_reference(job, reference->description());
    features = features_of(job);
  });

  const at::Tensor images =
      shared_cells(job, drawn_cells(job, rows, [&](std::int64_t first, std::int64_t count) {
                     const auto begin = indices.begin() + first;
                     return images_at(job.sampler, job.drawing, {begin, begin + count});
                   }));
  const NearestImages found =
      nearest_images(job.process.world(), *reference, in_parts(features, images, job.drawing.batch), k,
                     job.drawing.batch, features, [&](std::int64_t done, std::int64_t total) {
                       job.process.note("nearest neighbours");
                       if (job.process.is_root()) job.advance(done * ranks, total * ranks);
                     });
  at::Tensor cells;
  job.process.together([&] {
    if (!job.process.is_root()) return;
    const at::Tensor nearest = read_images(*reference, found.indices.flatten())
                                   .view({rows, k, job.spec.channels, job.spec.height, job.spec.width});
    cells = at::cat({images.unsqueeze(1), blank_cells(job, rows).unsqueeze(1), nearest}, 1).flatten(0, 1);
    print_neighbours(indices, found);
  });
  write_sheet(job, cells, columns);
}

}  // namespace ganymede
