#include "models/layers/phases.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstring>

namespace ganymede {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Of y [N, 4 C, H + 1, W + 1] the H x W positions of phase (a, b). A view.
at::Tensor phase_of(const at::Tensor& y, std::int64_t a, std::int64_t b) {
  const std::int64_t channels = y.size(1) / 4;
  return y.narrow(1, (2 * a + b) * channels, channels)
      .narrow(2, a, y.size(2) - 1)
      .narrow(3, b, y.size(3) - 1);
}

/// Where each position's channels begin.
struct Places {
  explicit Places(const at::Tensor& x)
      : data(static_cast<std::byte*>(x.data_ptr())),
        image(x.stride(0) * x.itemsize()),
        row(x.stride(2) * x.itemsize()),
        column(x.stride(3) * x.itemsize()) {}
  std::int64_t at(std::int64_t n, std::int64_t i, std::int64_t j) const { return n * image + i * row + j * column; }

  std::byte* data;
  std::int64_t image, row, column;
};

class JoinPhases : public torch::autograd::Function<JoinPhases> {
 public:
  static at::Tensor forward(AutogradContext*, const at::Tensor& y) {
    at::Tensor image = at::empty({y.size(0), y.size(1) / 4, 2 * (y.size(2) - 1), 2 * (y.size(3) - 1)},
                                 y.options(), at::MemoryFormat::ChannelsLast);
    const at::Tensor dense = y.contiguous(at::MemoryFormat::ChannelsLast);
    for (std::int64_t a = 0; a < 2; ++a)
      for (std::int64_t b = 0; b < 2; ++b) copy_positions(positions_of(image, a, b), phase_of(dense, a, b));
    return image;
  }
  static variable_list backward(AutogradContext*, variable_list gradients) {
    return {split_phases(gradients[0])};
  }
};

/// The adjoint of JoinPhases.
class SplitPhases : public torch::autograd::Function<SplitPhases> {
 public:
  static at::Tensor forward(AutogradContext*, const at::Tensor& image) {
    at::Tensor y = at::zeros({image.size(0), image.size(1) * 4, image.size(2) / 2 + 1, image.size(3) / 2 + 1},
                             image.options())
                       .contiguous(at::MemoryFormat::ChannelsLast);
    const at::Tensor dense = image.contiguous(at::MemoryFormat::ChannelsLast);
    for (std::int64_t a = 0; a < 2; ++a)
      for (std::int64_t b = 0; b < 2; ++b) copy_positions(phase_of(y, a, b), positions_of(dense, a, b));
    return y;
  }
  static variable_list backward(AutogradContext*, variable_list gradients) {
    return {join_phases(gradients[0])};
  }
};

}  // namespace

at::Tensor positions_of(const at::Tensor& image, std::int64_t a, std::int64_t b) {
  return image.slice(2, a, c10::nullopt, 2).slice(3, b, c10::nullopt, 2);
}

void copy_positions(const at::Tensor& target, const at::Tensor& source) {
  if (!target.is_cpu()) {
    target.copy_(source);
    return;
  }
  TORCH_CHECK(source.sizes() == target.sizes() && source.scalar_type() == target.scalar_type() &&
                  (target.size(1) == 1 || (target.stride(1) == 1 && source.stride(1) == 1)),
              "copy_positions: images of one shape and type are expected, in channels_last order");
  const Places from(source), to(target);
  const auto bytes = static_cast<std::size_t>(target.size(1) * target.itemsize());
  const std::int64_t height = target.size(2), width = target.size(3);
  at::parallel_for(0, target.size(0) * height, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row)
      for (std::int64_t j = 0; j < width; ++j)
        std::memcpy(to.data + to.at(row / height, row % height, j), from.data + from.at(row / height, row % height, j),
                    bytes);
  });
}

at::Tensor split_phases(const at::Tensor& image) {
  return SplitPhases::apply(image);
}

at::Tensor join_phases(const at::Tensor& y) {
  return JoinPhases::apply(y);
}

}  // namespace ganymede
