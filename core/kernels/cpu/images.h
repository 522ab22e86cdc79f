#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include "core/kernels/cpu/vector.h"

namespace ganymede::cpu {

/// What passes over images by channel share: images [N, C, H, W] in channels_last order, as memory.

/// Positions whose figures are summed in the accumulator's type before they join a float64 sum.
constexpr std::int64_t positions_at_once = 32;

/// One image: `positions` rows of `channels`.
struct Extent {
  std::int64_t positions, channels;
};

/// The type of figures of x's channels.
inline at::ScalarType figure_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

inline bool is_dense(const at::Tensor& x) {
  return x.device().is_cpu() && x.dim() == 4 && x.is_contiguous(at::MemoryFormat::ChannelsLast);
}

/// x as memory: checked once for every pass.
struct Images {
  explicit Images(const at::Tensor& x) : count(x.size(0)), extent{x.size(2) * x.size(3), x.size(1)} {
    TORCH_CHECK(is_dense(x), "images [N, C, H, W] in channels_last order are expected");
  }
  std::int64_t size() const { return extent.positions * extent.channels; }

  std::int64_t count;
  Extent extent;
};

inline void expect_like(const at::Tensor& x, const at::Tensor& other) {
  TORCH_CHECK(other.sizes() == x.sizes() && other.scalar_type() == x.scalar_type() && is_dense(other),
              "tensors of one shape, order and type are expected");
}

/// The rows of a [N, C] or [1, C] tensor of figures.
template <class A>
class Rows {
 public:
  Rows(const at::Tensor& figures, const Images& images)
      : data_(figures.const_data_ptr<A>()), stride_(figures.size(0) == 1 ? 0 : figures.size(1)) {
    TORCH_CHECK(figures.dim() == 2 && figures.is_contiguous() && figures.size(1) == images.extent.channels &&
                    (figures.size(0) == 1 || figures.size(0) == images.count),
                "figures of an image's channels are [N, C] or [1, C]");
  }
  const A* operator[](std::int64_t image) const { return data_ + image * stride_; }

 private:
  const A* data_;
  std::int64_t stride_;
};

template <class Body>
void for_each_image(const Images& images, const Body& body) {
  at::parallel_for(0, images.count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) body(n);
  });
}

}  // namespace ganymede::cpu
