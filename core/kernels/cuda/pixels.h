#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede::cuda {

/// Images as networks see them of images as they are stored: bytes [N, C, H, W] uint8, dense in that order,
/// become [N, C, H, W] of `type` (float32, float64, bfloat16 or float16) in channels_last order, x / 127.5 - 1,
/// and mirrored left to right where `flips` [N] bool says so: what PixelValues::convert (datasets) gives, so
/// that a quarter of the bytes travel to the GPU. On one CUDA device, on its current stream.
///
/// Bytes moved: 1 read and the size of `type` written a value.
///
/// Throws Error(options) in a build without CUDA (no_cuda.cpp).
at::Tensor images_of_bytes(const at::Tensor& bytes, const at::Tensor& flips, at::ScalarType type);

}  // namespace ganymede::cuda
