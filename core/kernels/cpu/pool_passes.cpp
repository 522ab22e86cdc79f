#include "core/kernels/cpu/pool_passes.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <vector>

#include "core/kernels/cpu/vector.h"

namespace ganymede::cpu {
namespace {

using c10::BFloat16;

/// The window of one output position, cut at the image's edges: first pixel, rows and columns.
template <class T>
struct Window {
  const T* first;
  std::int64_t rows, columns;
  std::int64_t row_step, channels;  ///< in elements
};

template <class T>
GANYMEDE_INLINE void max_window(const Window<T>& window, float* __restrict best, T* __restrict out) {
  for (std::int64_t c = 0; c < window.channels; ++c) best[c] = load(window.first + c);
  for (std::int64_t y = 0; y < window.rows; ++y)
    for (std::int64_t x = 0; x < window.columns; ++x) {
      const T* __restrict in = window.first + y * window.row_step + x * window.channels;
      for (std::int64_t c = 0; c < window.channels; ++c) {
        const float value = load(in + c);
        best[c] = best[c] < value ? value : best[c];
      }
    }
  for (std::int64_t c = 0; c < window.channels; ++c) store(out + c, best[c]);
}

template <class T>
GANYMEDE_INLINE void mean_window(const Window<T>& window, const float* __restrict bias, float* __restrict sum,
                                 T* __restrict out) {
  for (std::int64_t c = 0; c < window.channels; ++c) sum[c] = 0;
  for (std::int64_t y = 0; y < window.rows; ++y)
    for (std::int64_t x = 0; x < window.columns; ++x) {
      const T* __restrict in = window.first + y * window.row_step + x * window.channels;
      for (std::int64_t c = 0; c < window.channels; ++c) sum[c] += load(in + c);
    }
  const float share = 1.0f / static_cast<float>(window.rows * window.columns);
  for (std::int64_t c = 0; c < window.channels; ++c) {
    const float value = sum[c] * share + bias[c];
    store(out + c, value < 0 ? 0.0f : value);
  }
}

// The clones: templates have none.
#define GANYMEDE_POOL_PASSES(T)                                                                      \
  GANYMEDE_VECTOR_CLONES void max_clone(const Window<T>& window, float* scratch, T* out) {           \
    max_window(window, scratch, out);                                                                \
  }                                                                                                  \
  GANYMEDE_VECTOR_CLONES void mean_clone(const Window<T>& window, const float* bias, float* scratch, \
                                         T* out) {                                                   \
    mean_window(window, bias, scratch, out);                                                         \
  }
GANYMEDE_POOL_PASSES(float)
GANYMEDE_POOL_PASSES(BFloat16)
#undef GANYMEDE_POOL_PASSES

void check(const at::Tensor& x, const at::Tensor& out, std::int64_t stride, std::int64_t padding) {
  const auto length = [&](std::int64_t input) { return (input + 2 * padding - 3) / stride + 1; };
  TORCH_CHECK(x.device().is_cpu() && x.dim() == 4 && x.is_contiguous(at::MemoryFormat::ChannelsLast),
              "images [N, C, H, W] in channels_last order are expected");
  TORCH_CHECK(stride >= 1 && padding >= 0 && padding <= 1 && x.size(2) + 2 * padding >= 3 &&
                  x.size(3) + 2 * padding >= 3,
              "a window of 3 must fit ", x.sizes());
  const std::vector<std::int64_t> shape{x.size(0), x.size(1), length(x.size(2)), length(x.size(3))};
  TORCH_CHECK(out.sizes() == at::IntArrayRef(shape) && out.scalar_type() == x.scalar_type() &&
                  out.device().is_cpu() && (out.stride(1) == 1 || out.size(1) == 1) &&
                  out.stride(2) == out.stride(3) * shape[3] && out.stride(0) == out.stride(2) * shape[2],
              "the pooled images are ", out.sizes(), ", expected ", shape, " in channels_last order");
}

/// Calls body(window, scratch, out) for every output position.
template <class T, class Body>
void for_each_window_of(const at::Tensor& x, std::int64_t stride, std::int64_t padding, const at::Tensor& out,
                        const Body& body) {
  const std::int64_t channels = x.size(1), height = x.size(2), width = x.size(3);
  const std::int64_t out_height = out.size(2), out_width = out.size(3), step = out.stride(3);
  const T* in = x.const_data_ptr<T>();
  T* to = out.data_ptr<T>();
  at::parallel_for(0, x.size(0) * out_height, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> scratch(static_cast<std::size_t>(channels));
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t top = row % out_height * stride - padding, first_y = std::max<std::int64_t>(0, top);
      const T* image = in + row / out_height * height * width * channels;
      for (std::int64_t i = 0; i < out_width; ++i) {
        const std::int64_t left = i * stride - padding, first_x = std::max<std::int64_t>(0, left);
        const Window<T> window{image + (first_y * width + first_x) * channels,
                               std::min(height, top + 3) - first_y, std::min(width, left + 3) - first_x,
                               width * channels, channels};
        body(window, scratch.data(), to + (row * out_width + i) * step);
      }
    }
  });
}

template <class Body>
void for_each_window(const at::Tensor& x, std::int64_t stride, std::int64_t padding, const at::Tensor& out,
                     const Body& body) {
  if (x.scalar_type() == at::kBFloat16)
    for_each_window_of<BFloat16>(x, stride, padding, out, body);
  else
    for_each_window_of<float>(x, stride, padding, out, body);
}

}  // namespace

void max_pool3(const at::Tensor& x, std::int64_t stride, std::int64_t padding, const at::Tensor& out) {
  check(x, out, stride, padding);
  for_each_window(x, stride, padding, out,
                  [](const auto& window, float* scratch, auto* to) { max_clone(window, scratch, to); });
}

void mean_pool3_relu(const at::Tensor& x, const at::Tensor& bias, const at::Tensor& out) {
  check(x, out, 1, 1);
  TORCH_CHECK(bias.dim() == 1 && bias.size(0) == x.size(1) && bias.scalar_type() == at::kFloat &&
                  bias.is_contiguous() && bias.device().is_cpu(),
              "the bias is [C] float32");
  const float* shift = bias.const_data_ptr<float>();
  for_each_window(x, 1, 1, out, [&](const auto& window, float* scratch, auto* to) {
    mean_clone(window, shift, scratch, to);
  });
}

}  // namespace ganymede::cpu
