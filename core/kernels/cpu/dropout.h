#pragma once

#include <ATen/core/Tensor.h>

#include <array>

namespace ganymede::cpu {

/// Which elements of images are dropped. Element i of an image, counted row by row of [C, H, W] whatever its order in
/// memory, has 16 bits of its own, those from 16 (i mod 4) on of RandomStream::bits(image's position, i / 4), and is
/// dropped where they are below `threshold`.
struct Drops {
  std::array<std::uint32_t, 2> key;  ///< philox_key()
  std::int64_t first = 0;            ///< position of the image in row 0
  std::uint32_t threshold = 0;       ///< of 2^16
};

/// Whether drop() takes images of this shape and order: [N, C, H, W] in channels_last order on the CPU, H W a multiple
/// of 8.
bool can_drop(const at::Tensor& x);

/// x with what is dropped 0 and the rest times 2^16 / (2^16 - threshold). Linear in x: its own adjoint. Not an autograd
/// operation.
at::Tensor drop(const at::Tensor& x, const Drops& drops);

}  // namespace ganymede::cpu
