#include <ATen/ATen.h>

#include "core/error.h"
#include "launch/pictures/cells.h"
#include "launch/pictures/kinds.h"

namespace ganymede {

void write_style_mixing(const PictureJob& job) {
  LatentImages& latents = job.latents();
  const PictureOptions& options = job.options;
  job.process.together([&] {
    const std::int64_t layers = latents.style_layers();
    if (layers == 0) fail(ExitCode::options, "--picture mixing: this run's network has no styles w");
    if (options.last_layer >= layers)
      fail(ExitCode::options, "--layers {}-{}: this run's network has layers 0-{}", options.first_layer,
           options.last_layer, layers - 1);
    if (options.count % 2 != 0)
      fail(ExitCode::options,
           "--picture mixing: {} images: give an even number, half for rows, half for columns",
           options.count);
  });
  const std::int64_t half = options.count / 2, columns = half + 1;
  check_sheet(job, columns, columns);
  const std::vector<std::int64_t> indices = options.indices();
  const at::Tensor z = latents_of_images(latents, indices), labels = labels_of_images(job.drawing, indices);
  const at::Tensor cells = drawn_cells(job, columns * columns, [&](std::int64_t first, std::int64_t count) {
    // Of a place in the first row or column, both are its one image; the corner is white later.
    const at::Tensor places = at::arange(first, first + count, at::kLong);
    const at::Tensor row = places.div(columns, "floor") - 1, column = places.remainder(columns) - 1;
    const at::Tensor top = (column + half).clamp_min(half), left = row.clamp_min(0);
    const at::Tensor own = at::where(row.lt(0), top, left), other = at::where(column.lt(0), left, top);
    at::Tensor ws = latents.styles_of(z.index_select(0, own), labels.index_select(0, own)).clone();
    const at::Tensor others = latents.styles_of(z.index_select(0, other), labels.index_select(0, other));
    const std::int64_t taken = options.last_layer - options.first_layer + 1;
    ws.narrow(1, options.first_layer, taken).copy_(others.narrow(1, options.first_layer, taken));
    return latents.images_of_styles(ws);
  });
  if (cells.defined()) cells[0].fill_(255);
  write_sheet(job, cells, columns);
}

}  // namespace ganymede
