#include "models/latent_images.h"

namespace ganymede {

at::Tensor LatentImages::styles_of(const at::Tensor&, const at::Tensor&) {
  TORCH_CHECK(false, "these images have no styles");
}

at::Tensor LatentImages::images_of_styles(const at::Tensor&) {
  TORCH_CHECK(false, "these images have no styles");
}

}  // namespace ganymede
