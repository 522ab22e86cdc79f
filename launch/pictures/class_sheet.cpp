#include <ATen/ATen.h>

#include "core/error.h"
#include "launch/pictures/cells.h"
#include "launch/pictures/kinds.h"

namespace ganymede {

void write_class_sheet(const PictureJob& job) {
  LatentImages& latents = job.latents();
  job.process.together([&] {
    if (job.spec.classes < 2)
      fail(ExitCode::options, "--picture classes: this run's images have no classes: set --picture grid");
  });
  const std::vector<std::int64_t> listed =
      job.drawing.classes.empty() ? every_class(job.spec.classes) : job.drawing.classes;
  const at::Tensor classes = at::tensor(listed, at::kLong);
  const std::int64_t columns = job.options.count;
  check_sheet(job, classes.numel(), columns);
  const at::Tensor z = latents_of_images(latents, job.options.indices());
  const at::Tensor cells =
      drawn_cells(job, classes.numel() * columns, [&](std::int64_t first, std::int64_t count) {
        const at::Tensor places = at::arange(first, first + count, at::kLong);
        return latents.images_of(z.index_select(0, places.remainder(columns)),
                                 classes.index_select(0, places.div(columns, "floor")));
      });
  write_sheet(job, cells, columns);
}

}  // namespace ganymede
