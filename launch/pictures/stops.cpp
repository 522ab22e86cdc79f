#include "launch/pictures/stops.h"

#include "core/error.h"
#include "core/metrics/path_length.h"
#include "launch/pictures/cells.h"

namespace ganymede {

Stops::Stops(const PictureJob& job) : latents_(job.latents()), path_(job.options.path) {
  job.process.together([&] {
    if (path_ == "w" && latents_.style_layers() == 0)
      fail(ExitCode::options, "--path w: this run's network has no styles w: take slerp or lerp");
  });
  z_ = latents_of_images(latents_, job.options.indices());
  labels_ = labels_of_images(job.drawing, job.options.indices());
}

at::Tensor Stops::between(const at::Tensor& from, const at::Tensor& to, const at::Tensor& t,
                          const at::Tensor& labels) const {
  const at::Tensor a = z_.index_select(0, from), b = z_.index_select(0, to);
  if (path_ == "slerp") return latents_.images_of(on_path(a, b, t), labels);
  if (path_ == "lerp") return latents_.images_of(on_line(a, b, t), labels);
  return latents_.images_of_styles(on_line(latents_.styles_of(a, labels), latents_.styles_of(b, labels), t));
}

}  // namespace ganymede
