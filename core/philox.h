#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <string_view>

namespace ganymede {

/// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): four 32-bit words
/// that depend on nothing but key and counter.
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key);

/// What a draw belongs to. Equal keys give equal numbers, on any rank, in any order, at any time: this is
/// what makes a run independent of its rank count and resumable at any step.
struct RandomKey {
  std::uint64_t seed = 0;
  std::uint64_t reseed = 0;  ///< raised when training rolls back, so that the same path is not walked twice
  std::string_view phase = {};  ///< the player's phase or the purpose: "generator", "initialise", ...
  std::uint64_t step = 0;
  std::uint64_t sub_step = 0;    ///< which update of that player within the step
  std::string_view layer = {};   ///< the module that draws, empty for the method itself
  std::string_view stream = {};  ///< what is drawn: "z", "label", "flip", ...
};

/// Draws for consecutive images of the global batch, one row an image. Row i of the result belongs to global
/// position `first + i` and depends on that position alone, not on which rows are asked for by which rank.
class RandomStream {
 public:
  explicit RandomStream(const RandomKey& key);

  /// [count, width] standard normal numbers, drawn in double by Box and Muller, then rounded to `dtype`.
  at::Tensor normal(std::int64_t first, std::int64_t count, std::int64_t width, at::ScalarType dtype) const;
  /// [count, width] numbers in [0, 1) of 53 random bits each, then rounded to `dtype`: in any but double,
  /// one may round up to 1.
  at::Tensor uniform(std::int64_t first, std::int64_t count, std::int64_t width, at::ScalarType dtype) const;
  /// [count] int64 in [0, bound).
  at::Tensor integers(std::int64_t first, std::int64_t count, std::int64_t bound) const;

  /// 64 random bits for (position, index): what the tensors above are made of.
  std::uint64_t bits(std::uint64_t position, std::uint32_t index) const;

 private:
  std::array<std::uint32_t, 2> key_;
};

}  // namespace ganymede
