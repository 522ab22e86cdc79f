#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// What a Sampler is beside that, where an image comes about step by step out of noise. Legend: N images. Not collective.
class DenoisingPath {
 public:
  virtual ~DenoisingPath() = default;
  /// From noise to image.
  virtual std::int64_t steps() const = 0;
  /// What becomes of images first .. first + N - 1, [N, columns, C, H, W]: in column k < columns - 1 what the network
  /// makes of the noisy image of step k steps / (columns - 1), rounded down; in the last one the image, as
  /// Sampler::images() has it. 2 to steps() + 1 columns.
  virtual at::Tensor estimates(std::int64_t first, const at::Tensor& labels, std::int64_t columns) = 0;
  /// Whether the network has learned what images are like without a label, which guidance needs.
  virtual bool takes_guidance() const = 0;
  /// As Sampler::images() with another weight of the label.
  virtual at::Tensor images_guided_by(double guidance, std::int64_t first, const at::Tensor& labels) = 0;
};

}  // namespace ganymede
