#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "models/features/feature_extractor.h"

namespace ganymede {

/// How pixels of 0 to 255 become what a network looks at: value * factor + offset, by channel.
struct PixelScale {
  std::array<double, 3> factor, offset;
};

/// 2 x / 255 - 1, so that 255 becomes 1: pytorch-fid.
PixelScale symmetric_scale();
/// (x - 128) / 128, so that 255 becomes 0.992: TensorFlow's graph, torch-fidelity, NVIDIA, clean-fid.
PixelScale tensorflow_scale();
/// (x / 255 - mean) / standard deviation of ImageNet's red, green and blue: torchvision, DINOv2.
PixelScale imagenet_scale();

std::string_view name_of(FeatureResize mode);
/// Throws Error(options) that lists the names.
FeatureResize feature_resize(const std::string& name);

/// One axis of a resize: output i is the sum over k of weight[i * width + k] * input[first[i] + k]. Every run
/// of `width` positions lies inside the input.
struct ResizeTaps {
  std::int64_t width = 0;
  std::vector<std::int64_t> first;
  std::vector<float> weight;
};

/// With ratio r = input / output:
///   pytorch  between the neighbours of (i + 1/2) r - 1/2, clamped to the image;
///   tf1      between the neighbours of i r, the upper one clamped;
///   clean, pillow  Keys' cubic with a = -1/2 about (i + 1/2) r, stretched by r where the image shrinks,
///            weights normalised to sum 1 inside the image (Pillow's bicubic).
ResizeTaps resize_taps(FeatureResize mode, std::int64_t input, std::int64_t output);

/// Brings images to size x size and to the network's range, in float32 without rounding in between (`pillow`
/// alone rounds to bytes after each axis).
class FeatureResizer {
 public:
  FeatureResizer(FeatureResize mode, std::int64_t size, const PixelScale& scale);

  FeatureResize mode() const { return mode_; }
  std::int64_t size() const { return size_; }

  /// uint8 [N, 1 or 3, H, W] in host memory to float32 [N, 3, size, size], channels_last, on `device`. The
  /// single channel of grey images is repeated. Throws Error(options) where the mode is none and the images
  /// have another size.
  at::Tensor operator()(const at::Tensor& images, at::Device device) const;

 private:
  at::Tensor on_host(const at::Tensor& images) const;
  at::Tensor on_device(const at::Tensor& images) const;

  FeatureResize mode_;
  std::int64_t size_;
  PixelScale scale_;
};

}  // namespace ganymede
