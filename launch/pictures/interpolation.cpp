#include <ATen/ATen.h>

#include "launch/pictures/cells.h"
#include "launch/pictures/kinds.h"
#include "launch/pictures/stops.h"

namespace ganymede {

void write_interpolation(const PictureJob& job) {
  const std::int64_t rows = job.options.count - 1, columns = job.options.frames;
  check_sheet(job, rows, columns);
  const Stops stops(job);
  const at::Tensor cells = drawn_cells(job, rows * columns, [&](std::int64_t first, std::int64_t count) {
    const at::Tensor places = at::arange(first, first + count, at::kLong);
    const at::Tensor from = places.div(columns, "floor");
    const at::Tensor t = places.remainder(columns).to(at::kDouble) / static_cast<double>(columns - 1);
    return stops.between(from, from + 1, t, stops.labels().index_select(0, from));
  });
  write_sheet(job, cells, columns);
}

}  // namespace ganymede
