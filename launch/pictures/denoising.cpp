#include <ATen/ATen.h>

#include "core/error.h"
#include "launch/pictures/cells.h"
#include "launch/pictures/kinds.h"
#include "models/denoising_path.h"

namespace ganymede {
namespace {

/// The sampler, where its images come about step by step. Throws AgreedError(options) where they do not. Collective.
DenoisingPath& path_of(const PictureJob& job) {
  auto* path = dynamic_cast<DenoisingPath*>(&job.sampler);
  job.process.together([&] {
    if (!path)
      fail(ExitCode::options, "this run's images do not come about step by step: the picture is of a diffusion model's");
  });
  return *path;
}

/// A sheet of the images asked for, one a row: `draw` makes the row of image i and its label [1], [columns, C, H, W].
void write_rows(const PictureJob& job, std::int64_t columns,
                const std::function<at::Tensor(std::int64_t image, const at::Tensor& label)>& draw) {
  const std::vector<std::int64_t> images = job.options.indices();
  check_sheet(job, std::ssize(images), columns);
  PictureJob rows = job;  // whose cells are whole rows
  rows.spec.channels *= columns;
  at::Tensor cells = drawn_cells(rows, std::ssize(images), [&](std::int64_t first, std::int64_t count) {
    std::vector<at::Tensor> drawn;
    for (std::int64_t i = first; i < first + count; ++i) {
      const std::int64_t image = images[static_cast<std::size_t>(i)];
      drawn.push_back(draw(image, labels_of(job.drawing, image, 1)).flatten(0, 1));
    }
    return at::stack(drawn);
  });
  if (cells.defined())
    cells = cells.reshape({std::ssize(images) * columns, job.spec.channels, job.spec.height, job.spec.width});
  write_sheet(job, cells, columns);
}

}  // namespace

void write_trajectories(const PictureJob& job) {
  DenoisingPath& path = path_of(job);
  job.process.together([&] {
    if (job.options.frames > path.steps() + 1)
      fail(ExitCode::options, "--frames {}: images are drawn in {} steps: give {} at most, or more --sampler.steps",
           job.options.frames, path.steps(), path.steps() + 1);
  });
  write_rows(job, job.options.frames, [&](std::int64_t image, const at::Tensor& label) {
    return path.estimates(image, label, job.options.frames)[0];
  });
}

void write_guidance(const PictureJob& job) {
  DenoisingPath& path = path_of(job);
  job.process.together([&] {
    if (!path.takes_guidance())
      fail(ExitCode::options,
           "guidance needs a network that has learned without labels: train with classes and diffusion.label_dropout "
           "above 0");
  });
  write_rows(job, std::ssize(job.options.scales), [&](std::int64_t image, const at::Tensor& label) {
    std::vector<at::Tensor> columns;
    for (const double scale : job.options.scales) columns.push_back(path.images_guided_by(scale, image, label));
    return at::cat(columns);
  });
}

}  // namespace ganymede
