#include "core/kernels/cpu/dropout.h"

#include <ATen/ATen.h>

#include <vector>

#include "core/kernels/cpu/images.h"
#include "core/kernels/philox_arithmetic.h"

namespace ganymede::cpu {
namespace {

using c10::BFloat16, c10::Half;

/// Positions whose bits one counter gives.
constexpr std::int64_t drop_run = 8;
/// Channels whose counters go through the rounds together.
constexpr std::int64_t drop_lanes = 16;

/// The words of `count` <= drop_lanes counters {position, index}, {position, index + stride}, ...: words[w][k] is word w.
GANYMEDE_INLINE void draw_words(std::array<std::uint32_t, 2> key, std::uint64_t position, std::uint32_t index,
                                std::uint32_t stride, std::uint32_t words[4][drop_lanes]) {
  for (std::int64_t k = 0; k < drop_lanes; ++k) {
    words[0][k] = static_cast<std::uint32_t>(position);
    words[1][k] = static_cast<std::uint32_t>(position >> 32);
    words[2][k] = index + static_cast<std::uint32_t>(k) * stride;
    words[3][k] = 0;
  }
  for (int round = 0; round < 10; ++round) {
    for (std::int64_t k = 0; k < drop_lanes; ++k)
      philox_round(words[0][k], words[1][k], words[2][k], words[3][k], key[0], key[1]);
    key[0] += philox_step0;
    key[1] += philox_step1;
  }
}

template <class T, class A = accumulator_t<T>>
GANYMEDE_INLINE void drop_image(const T* __restrict x, Extent extent, Drops drops, std::uint64_t position,
                                A scale, T* __restrict y) {
  const std::int64_t channels = extent.channels;
  const auto stride = static_cast<std::uint32_t>(extent.positions / drop_run);
  for (std::int64_t c = 0; c < channels; c += drop_lanes) {
    const std::int64_t count = channels - c < drop_lanes ? channels - c : drop_lanes;
    for (std::uint32_t block = 0; block < stride; ++block) {
      std::uint32_t words[4][drop_lanes];
      draw_words(drops.key, position, static_cast<std::uint32_t>(c) * stride + block, stride, words);
      const std::int64_t start = block * drop_run * channels + c;
      for (std::int64_t j = 0; j < drop_run; ++j) {
        const std::uint32_t* __restrict bits = words[j / 2];
        const std::uint32_t shift = j % 2 == 0 ? 0 : 16;
        const T* __restrict from = x + start + j * channels;
        T* __restrict to = y + start + j * channels;
        if (count == drop_lanes)
          for (std::int64_t k = 0; k < drop_lanes; ++k)
            store(to + k, ((bits[k] >> shift) & 0xFFFFU) < drops.threshold ? A(0) : load(from + k) * scale);
        else
          for (std::int64_t k = 0; k < count; ++k)
            store(to + k, ((bits[k] >> shift) & 0xFFFFU) < drops.threshold ? A(0) : load(from + k) * scale);
      }
    }
  }
}

// The clones: templates have none.
#define GANYMEDE_DROPOUT(T, A)                                                                           \
  GANYMEDE_VECTOR_CLONES void drop_clone(const T* x, Extent extent, Drops drops, std::uint64_t position, \
                                         A scale, T* y) {                                                \
    drop_image(x, extent, drops, position, scale, y);                                                    \
  }
GANYMEDE_DROPOUT(float, float)
GANYMEDE_DROPOUT(double, double)
GANYMEDE_DROPOUT(BFloat16, float)
GANYMEDE_DROPOUT(Half, float)
#undef GANYMEDE_DROPOUT

}  // namespace

bool can_drop(const at::Tensor& x) {
  return is_dense(x) && x.size(2) * x.size(3) % drop_run == 0;
}

at::Tensor drop(const at::Tensor& x, const Drops& drops) {
  TORCH_CHECK(can_drop(x), "images in channels_last order with a multiple of ", drop_run,
              " positions are expected");
  const Images images(x);
  at::Tensor y = at::empty_like(x);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "drop", [&] {
    using A = accumulator_t<scalar_t>;
    const A scale = A(65536) / static_cast<A>(65536 - drops.threshold);
    const scalar_t* in = x.const_data_ptr<scalar_t>();
    scalar_t* out = y.data_ptr<scalar_t>();
    for_each_image(images, [&](std::int64_t n) {
      drop_clone(in + n * images.size(), images.extent, drops, static_cast<std::uint64_t>(drops.first + n),
                 scale, out + n * images.size());
    });
  });
  return y;
}

}  // namespace ganymede::cpu
