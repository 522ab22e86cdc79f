#include "core/kernels/cpu/softmax_rows.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "core/kernels/cpu/exponential.h"

namespace ganymede::cpu {
namespace {

using c10::BFloat16, c10::Half;

/// Figures of a row that are reduced side by side.
constexpr std::int64_t row_lanes = 16;
/// Rows that a step is done for before the next: what one waits for, another has.
constexpr std::int64_t rows_at_once = 16;
/// Elements that a thread is worth.
constexpr std::int64_t grain = 32768;

/// The compiler's own vectors: it turns no loop of this length into one, and adds up no row but in order.
template <class A>
struct Lanes {
  typedef A type __attribute__((vector_size(row_lanes * sizeof(A))));
};

struct Larger {
  template <class V>
  GANYMEDE_INLINE void operator()(V& a, const V& b) const {
    a = a > b ? a : b;
  }
};
struct Sum {
  template <class V>
  GANYMEDE_INLINE void operator()(V& a, const V& b) const {
    a = a + b;
  }
};

/// All figures of a row, which has a multiple of `row_lanes`, joined.
template <class Join, class A>
GANYMEDE_INLINE A joined(const A* row, std::int64_t width) {
  typename Lanes<A>::type v, next;
  std::memcpy(&v, row, sizeof v);
  for (std::int64_t c = row_lanes; c < width; c += row_lanes) {
    std::memcpy(&next, row + c, sizeof next);
    Join()(v, next);
  }
  Join()(v, __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  Join()(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
  Join()(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
  Join()(v, __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
  return v[0];
}

std::int64_t padded(std::int64_t width) {
  return (width + row_lanes - 1) / row_lanes * row_lanes;
}

/// scratch: rows_at_once of `stride` = padded(width), whose ends count for nothing.
template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE void softmax_each(T* __restrict x, std::int64_t rows, std::int64_t width, std::int64_t stride,
                                  A* __restrict scratch) {
  A figures[rows_at_once];
  for (std::int64_t count; rows > 0; rows -= count, x += count * width) {
    count = rows < rows_at_once ? rows : rows_at_once;
    for (std::int64_t row = 0; row < count; ++row) {
      for (std::int64_t c = 0; c < width; ++c) scratch[row * stride + c] = load(x + row * width + c);
      for (std::int64_t c = width; c < stride; ++c) scratch[row * stride + c] = -std::numeric_limits<A>::infinity();
    }
    for (std::int64_t row = 0; row < count; ++row) figures[row] = joined<Larger>(scratch + row * stride, stride);
    for (std::int64_t row = 0; row < count; ++row)
      for (std::int64_t c = 0; c < stride; ++c) {
        const A below = scratch[row * stride + c] - figures[row];
        scratch[row * stride + c] = below < A(-87) ? A(0) : exponential(below);
      }
    for (std::int64_t row = 0; row < count; ++row) figures[row] = 1 / joined<Sum>(scratch + row * stride, stride);
    for (std::int64_t row = 0; row < count; ++row)
      for (std::int64_t c = 0; c < width; ++c) store(x + row * width + c, scratch[row * stride + c] * figures[row]);
  }
}

// The clones: templates have none.
#define GANYMEDE_SOFTMAX_ROWS(T, A)                                                                           \
  GANYMEDE_VECTOR_CLONES void softmax_clone(T* x, std::int64_t rows, std::int64_t width, std::int64_t stride, \
                                            A* scratch) {                                                     \
    softmax_each(x, rows, width, stride, scratch);                                                            \
  }
GANYMEDE_SOFTMAX_ROWS(float, float)
GANYMEDE_SOFTMAX_ROWS(double, double)
GANYMEDE_SOFTMAX_ROWS(BFloat16, float)
GANYMEDE_SOFTMAX_ROWS(Half, float)
#undef GANYMEDE_SOFTMAX_ROWS

}  // namespace

void softmax_rows(at::Tensor& x) {
  TORCH_CHECK(x.device().is_cpu() && x.is_contiguous() && x.dim() > 0 && x.size(-1) > 0,
              "softmax_rows: a dense tensor on the CPU is expected");
  const std::int64_t width = x.size(-1), stride = padded(width);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "softmax_rows", [&] {
    scalar_t* data = x.data_ptr<scalar_t>();
    at::parallel_for(0, x.numel() / width, std::max<std::int64_t>(1, grain / width),
                     [&](std::int64_t begin, std::int64_t end) {
                       std::vector<accumulator_t<scalar_t>> scratch(static_cast<std::size_t>(rows_at_once * stride));
                       softmax_clone(data + begin * width, end - begin, width, stride, scratch.data());
                     });
  });
}

}  // namespace ganymede::cpu
