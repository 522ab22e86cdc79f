#include "core/kernels/cpu/resample.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <vector>

#include "core/kernels/cpu/vector.h"
#include "core/kernels/resample_arithmetic.h"

namespace ganymede::cpu {
namespace {

using c10::BFloat16;
using c10::Half;

/// What of the input one output value is made of.
struct Taps {
  std::int64_t count = 0;
  std::int64_t index[filter_taps] = {};
  double weight[filter_taps] = {};
};

std::vector<Taps> taps_of(const AxisResampling& axis, std::int64_t inputs) {
  std::vector<Taps> all(static_cast<std::size_t>(axis.size));
  for (std::int64_t out = 0; out < axis.size; ++out) {
    Taps& taps = all[static_cast<std::size_t>(out)];
    const AxisTaps<std::int64_t> from = axis_taps(axis.up, axis.down, axis.before, inputs, out);
    for (std::int64_t k = from.begin; k < from.end; ++k) {
      taps.index[taps.count] = from.first + k;
      taps.weight[taps.count++] = filter_tap(from.tap + k * axis.up) * axis.gain;
    }
  }
  return all;
}

/// One row of results: `mixed` [W, C] takes the sum of input rows, y [columns, C] that of its positions.
template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE void filter_row(const T* __restrict image, const Taps& row, const Taps* columns,
                                std::int64_t column_count, std::int64_t width, std::int64_t channels,
                                A* __restrict mixed, A* __restrict sums, T* __restrict y) {
  const std::int64_t pitch = width * channels;
  for (std::int64_t i = 0; i < pitch; ++i) mixed[i] = 0;
  for (std::int64_t t = 0; t < row.count; ++t) {
    const T* __restrict x = image + row.index[t] * pitch;
    const A weight = static_cast<A>(row.weight[t]);
    for (std::int64_t i = 0; i < pitch; ++i) mixed[i] += weight * load(x + i);
  }
  for (std::int64_t j = 0; j < column_count; ++j) {
    const Taps& column = columns[j];
    for (std::int64_t c = 0; c < channels; ++c) sums[c] = 0;
    for (std::int64_t t = 0; t < column.count; ++t) {
      const A* __restrict x = mixed + column.index[t] * channels;
      const A weight = static_cast<A>(column.weight[t]);
      for (std::int64_t c = 0; c < channels; ++c) sums[c] += weight * x[c];
    }
    for (std::int64_t c = 0; c < channels; ++c) store(y + j * channels + c, sums[c]);
  }
}

#define GANYMEDE_FILTER_ROW(T, A)                                                             \
  GANYMEDE_VECTOR_CLONES void row_clone(const T* image, const Taps& row, const Taps* columns, \
                                        std::int64_t column_count, std::int64_t width,        \
                                        std::int64_t channels, A* mixed, A* sums, T* y) {     \
    filter_row(image, row, columns, column_count, width, channels, mixed, sums, y);           \
  }
GANYMEDE_FILTER_ROW(float, float)
GANYMEDE_FILTER_ROW(double, double)
GANYMEDE_FILTER_ROW(BFloat16, float)
GANYMEDE_FILTER_ROW(Half, float)
#undef GANYMEDE_FILTER_ROW

template <class T>
void resample_into(const at::Tensor& x, const std::vector<Taps>& rows, const std::vector<Taps>& columns,
                   const at::Tensor& y) {
  using A = accumulator_t<T>;
  const std::int64_t channels = x.size(1), height = x.size(2), width = x.size(3);
  const auto row_count = static_cast<std::int64_t>(rows.size());
  const auto column_count = static_cast<std::int64_t>(columns.size());
  const T* from = x.const_data_ptr<T>();
  T* to = y.mutable_data_ptr<T>();
  at::parallel_for(0, x.size(0) * row_count, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<A> mixed(static_cast<std::size_t>(width * channels)),
        sums(static_cast<std::size_t>(channels));
    for (std::int64_t i = begin; i < end; ++i)
      row_clone(from + i / row_count * height * width * channels,
                rows[static_cast<std::size_t>(i % row_count)], columns.data(), column_count, width, channels,
                mixed.data(), sums.data(), to + i * column_count * channels);
  });
}

}  // namespace

at::Tensor resample(const at::Tensor& x, const AxisResampling& rows, const AxisResampling& columns) {
  TORCH_CHECK(x.device().is_cpu() && x.dim() == 4 && x.is_contiguous(at::MemoryFormat::ChannelsLast),
              "resample takes images on the CPU in channels_last order");
  at::Tensor y =
      at::empty({x.size(0), x.size(1), rows.size, columns.size}, x.options(), at::MemoryFormat::ChannelsLast);
  const auto row_taps = taps_of(rows, x.size(2)), column_taps = taps_of(columns, x.size(3));
  switch (x.scalar_type()) {
    case at::kFloat:
      resample_into<float>(x, row_taps, column_taps, y);
      break;
    case at::kDouble:
      resample_into<double>(x, row_taps, column_taps, y);
      break;
    case at::kBFloat16:
      resample_into<BFloat16>(x, row_taps, column_taps, y);
      break;
    case at::kHalf:
      resample_into<Half>(x, row_taps, column_taps, y);
      break;
    default:
      TORCH_CHECK(false, "resample takes float32, float64, bfloat16 or float16, not ", x.scalar_type());
  }
  return y;
}

}  // namespace ganymede::cpu
