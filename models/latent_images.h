#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// What a Sampler is beside that, where its images are a function of latents that anyone may choose: pictures of a
/// latent space are made by it. Legend: N images, D numbers of a latent, L layers, S numbers of a style. Not
/// collective.
class LatentImages {
 public:
  virtual ~LatentImages() = default;
  /// [N, D] float64: the latents of images first .. first + N - 1 (a GAN's z, truncated where the sampler's options say
  /// so; the noise that a diffusion model begins with, at variance 1).
  virtual at::Tensor latents(std::int64_t first, std::int64_t count) const = 0;
  /// Images of latents [N, D] and labels [N], as Sampler::images(). What noise there is beside latents is the same for
  /// all: a network's is its fixed one, a stochastic solver's that of image 0. So neighbouring frames differ by their
  /// latents alone.
  virtual at::Tensor images_of(const at::Tensor& latents, const at::Tensor& labels) = 0;

  /// L where images are made of a style w for each layer (StyleGAN's), else 0: then the two below are not there.
  virtual std::int64_t style_layers() { return 0; }
  /// [N, L, S]: the styles of latents and labels.
  virtual at::Tensor styles_of(const at::Tensor& latents, const at::Tensor& labels);
  /// Images of styles [N, L, S]; noise as above.
  virtual at::Tensor images_of_styles(const at::Tensor& styles);
};

}  // namespace ganymede
