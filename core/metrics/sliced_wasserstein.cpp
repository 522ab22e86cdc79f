#include "core/metrics/sliced_wasserstein.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/metrics/radix_sort.h"

namespace ganymede {
namespace {

constexpr std::int64_t coarsest_side = 16;
constexpr std::int64_t images_cut_at_once = 64;
constexpr std::int64_t slices_at_once = 16;
constexpr std::array binomial{1.0 / 16, 4.0 / 16, 6.0 / 16, 4.0 / 16, 1.0 / 16};

/// The 5 x 5 binomial filter with mirrored borders, times `gain`.
at::Tensor smooth(const at::Tensor& images, double gain = 1) {
  const std::int64_t height = images.size(2), width = images.size(3);
  const at::Tensor padded = at::reflection_pad2d(images, {2, 2, 2, 2});
  at::Tensor rows = padded.narrow(2, 0, height).mul(gain * binomial[0]);
  for (std::int64_t i = 1; i < 5; ++i)
    rows.add_(padded.narrow(2, i, height), gain * binomial[static_cast<std::size_t>(i)]);
  at::Tensor result = rows.narrow(3, 0, width).mul(binomial[0]);
  for (std::int64_t i = 1; i < 5; ++i)
    result.add_(rows.narrow(3, i, width), binomial[static_cast<std::size_t>(i)]);
  return result;
}

at::Tensor halve(const at::Tensor& images) {
  return smooth(images).slice(2, 0, {}, 2).slice(3, 0, {}, 2).contiguous();
}

at::Tensor twice(const at::Tensor& images) {
  at::Tensor spread = at::zeros({images.size(0), images.size(1), 2 * images.size(2), 2 * images.size(3)});
  spread.slice(2, 0, {}, 2).slice(3, 0, {}, 2).copy_(images);
  return smooth(spread, 4);
}

std::int64_t level_count(const at::Tensor& images) {
  const std::int64_t side = images.dim() == 4 ? images.size(2) : 0;
  if (side < coarsest_side || images.size(3) != side ||
      !std::has_single_bit(static_cast<std::uint64_t>(side)))
    fail(ExitCode::options,
         "sliced Wasserstein distance of images [{}]: sides must be equal, a power of two and at "
         "least {}",
         fmt::join(images.sizes(), ", "), coarsest_side);
  return std::bit_width(static_cast<std::uint64_t>(side / coarsest_side));
}

/// A number in [0, bound), bound < 2^32.
std::int64_t below(std::uint64_t bits, std::int64_t bound) {
  return static_cast<std::int64_t>(((bits >> 32) * static_cast<std::uint64_t>(bound)) >> 32);
}

void copy_patch(const float* level, std::int64_t channels, std::int64_t height, std::int64_t width,
                std::int64_t top, std::int64_t left, float* patch) {
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t y = 0; y < patch_side; ++y)
      patch = std::copy_n(level + (c * height + top + y) * width + left, patch_side, patch);
}

/// All patches of one level, cut from a few images at a time.
at::Tensor patches_of(const at::Tensor& images, std::int64_t level, const RandomKey& key) {
  const std::int64_t count = images.size(0), channels = images.size(1);
  at::Tensor patches = at::empty({patches_per_image * count, channels, patch_side * patch_side});
  for (std::int64_t begin = 0; begin < count; begin += images_cut_at_once) {
    const std::int64_t part = std::min(images_cut_at_once, count - begin);
    const at::Tensor detail =
        laplacian_pyramid(images.narrow(0, begin, part))[static_cast<std::size_t>(level)];
    patches.narrow(0, patches_per_image * begin, patches_per_image * part)
        .copy_(draw_patches(detail, level, key, at::arange(begin, begin + part)));
  }
  return patches;
}

at::Tensor descriptors(const at::Tensor& images, std::int64_t level, const RandomKey& key) {
  at::Tensor patches = patches_of(images, level, key);
  return standardise(patches, channel_sums(patches));
}

}  // namespace

std::vector<at::Tensor> laplacian_pyramid(const at::Tensor& images) {
  const std::int64_t count = level_count(images);
  std::vector<at::Tensor> levels{images.to(at::kFloat).contiguous()};
  for (std::int64_t level = 1; level < count; ++level) {
    PyramidStep step = pyramid_step(levels.back());
    levels.back() = std::move(step.level);
    levels.push_back(std::move(step.coarser));
  }
  return levels;
}

PyramidStep pyramid_step(const at::Tensor& images) {
  const at::Tensor fine = images.to(at::kFloat).contiguous();
  const at::Tensor coarser = halve(fine);
  return {fine - twice(coarser), coarser};
}

at::Tensor draw_patches(const at::Tensor& level, std::int64_t level_index, const RandomKey& key,
                        const at::Tensor& indices) {
  TORCH_CHECK(indices.size(0) == level.size(0), "draw_patches: ", level.size(0), " images, ", indices.size(0),
              " indices");
  RandomKey level_key = key;
  const std::string layer = fmt::format("level {}", level_index);
  level_key.layer = layer;
  const RandomStream stream(level_key);
  const at::Tensor pixels = level.to(at::kFloat).contiguous(), numbers = indices.contiguous();
  const std::int64_t channels = pixels.size(1), height = pixels.size(2), width = pixels.size(3);
  at::Tensor patches = at::empty({patches_per_image * level.size(0), channels, patch_side * patch_side});
  const std::int64_t patch_size = channels * patch_side * patch_side;
  for (std::int64_t image = 0; image < level.size(0); ++image) {
    const auto position = static_cast<std::uint64_t>(numbers.const_data_ptr<std::int64_t>()[image]);
    const float* source = pixels.const_data_ptr<float>() + image * channels * height * width;
    for (std::int64_t p = 0; p < patches_per_image; ++p) {
      const std::uint64_t bits = stream.bits(position, static_cast<std::uint32_t>(p));
      copy_patch(source, channels, height, width, below(bits, height - patch_side + 1),
                 below(bits << 32, width - patch_side + 1),
                 patches.mutable_data_ptr<float>() + (image * patches_per_image + p) * patch_size);
    }
  }
  return patches;
}

at::Tensor channel_sums(const at::Tensor& patches) {
  at::Tensor sums = at::zeros({patches.size(1), 3}, at::kDouble);
  for (const at::Tensor& part : patches.split(1 << 15)) {
    const at::Tensor x = part.to(at::kDouble);
    sums.select(1, 0).add_(static_cast<double>(x.size(0) * x.size(2)));
    sums.select(1, 1).add_(x.sum(at::IntArrayRef{0, 2}));
    sums.select(1, 2).add_(x.square().sum(at::IntArrayRef{0, 2}));
  }
  return sums;
}

at::Tensor standardise(at::Tensor patches, const at::Tensor& sums) {
  const at::Tensor mean = sums.select(1, 1) / sums.select(1, 0);
  const at::Tensor variance = sums.select(1, 2) / sums.select(1, 0) - mean.square();
  // A channel without any change is zero, not NaN.
  const at::Tensor scale =
      at::where(variance > 1e-12 * mean.square(), variance.rsqrt(), at::zeros_like(variance));
  const auto column = [](const at::Tensor& x) { return x.to(at::kFloat).view({1, -1, 1}); };
  patches.sub_(column(mean)).mul_(column(scale));
  return patches.flatten(1);
}

at::Tensor slice_directions(const RandomKey& key, std::int64_t width) {
  RandomKey direction_key = key;
  direction_key.stream = "direction";
  const at::Tensor directions = RandomStream(direction_key).normal(0, slice_count, width, at::kDouble);
  return (directions / at::linalg_vector_norm(directions, 2, at::IntArrayRef{1}, true))
      .t()
      .to(at::kFloat)
      .contiguous();
}

at::Tensor sorted_distance(const at::Tensor& a, const at::Tensor& b) {
  if (a.size(0) != b.size(0))
    fail(ExitCode::options,
         "sliced Wasserstein distance of {} and {} patches: give both sides as many images", a.size(0),
         b.size(0));
  const auto columns = [](const at::Tensor& values) {
    return at::empty({values.size(1), values.size(0)}).copy_(values.t());
  };
  const at::Tensor x = columns(a), y = columns(b);
  const std::int64_t count = x.size(1);
  at::Tensor result = at::empty({x.size(0)}, at::kDouble);
  at::parallel_for(0, x.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t column = begin; column < end; ++column) {
      float* first = x.data_ptr<float>() + column * count;
      float* second = y.data_ptr<float>() + column * count;
      radix_sort({first, static_cast<std::size_t>(count)});
      radix_sort({second, static_cast<std::size_t>(count)});
      double sum = 0;
      for (std::int64_t i = 0; i < count; ++i)
        sum += std::abs(static_cast<double>(first[i]) - static_cast<double>(second[i]));
      result.data_ptr<double>()[column] = sum / static_cast<double>(count);
    }
  });
  return result;
}

SlicedWasserstein sliced_wasserstein(const at::Tensor& reals, const at::Tensor& fakes, const RandomKey& key) {
  SlicedWasserstein result;
  for (std::int64_t level = 0; level < level_count(reals); ++level) {
    const at::Tensor real = descriptors(reals, level, key), fake = descriptors(fakes, level, key);
    const at::Tensor directions = slice_directions(key, real.size(1));
    double sum = 0;
    for (std::int64_t slice = 0; slice < slice_count; slice += slices_at_once) {
      const at::Tensor some = directions.narrow(1, slice, slices_at_once);
      sum += sorted_distance(at::mm(real, some), at::mm(fake, some)).sum().item<double>();
    }
    result.levels.push_back(sum / slice_count);
  }
  result.mean = std::accumulate(result.levels.begin(), result.levels.end(), 0.0) /
                static_cast<double>(result.levels.size());
  return result;
}

}  // namespace ganymede
