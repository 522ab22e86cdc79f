#include "evaluation/metrics/sliced_wasserstein.h"

#include <ATen/ATen.h>

#include "core/metrics/sliced_wasserstein.h"

namespace ganymede {
namespace {

constexpr std::int64_t most_images = 8192;
constexpr std::int64_t values_at_once = 1 << 21;  // 8 MB of float32, and as much several times over
constexpr std::int64_t columns_at_once = 16;
constexpr std::int64_t coarsest_side = 16;
constexpr double published_scale = 1000;

/// One side: this rank's images, which turn into those of half the side level by level.
class Side {
 public:
  Side(const ShardedRows& images, const RandomKey& key)
      : ranks_(images.ranks()),
        key_(key),
        images_(images.own()),
        indices_(images.positions()),
        begin_(patches_per_image * (indices_.numel() > 0 ? indices_[0].item<std::int64_t>() : 0)),
        total_(patches_per_image * images.count()) {}

  bool has_level() const { return images_.defined(); }

  /// Descriptors [128 n, 49 C] of the next level, standardised over all ranks'.
  at::Tensor next_level() {
    const std::int64_t count = images_.size(0), channels = images_.size(1), side = images_.size(2);
    at::Tensor patches =
        at::empty({patches_per_image * count, channels, patch_side * patch_side}, at::kFloat);
    at::Tensor coarser;
    if (side > coarsest_side) coarser = at::empty({count, channels, side / 2, side / 2}, at::kFloat);
    const std::int64_t at_once = std::max<std::int64_t>(1, values_at_once / (channels * side * side));
    for (std::int64_t first = 0; first < count; first += at_once) {
      const std::int64_t part = std::min(at_once, count - first);
      PyramidStep step{images_.narrow(0, first, part), {}};
      if (coarser.defined()) {
        step = pyramid_step(step.level);
        coarser.narrow(0, first, part).copy_(step.coarser);
      }
      patches.narrow(0, patches_per_image * first, patches_per_image * part)
          .copy_(draw_patches(step.level, level_, key_, indices_.narrow(0, first, part)));
    }
    images_ = coarser;
    ++level_;
    at::Tensor sums = patches.size(0) > 0 ? channel_sums(patches) : at::zeros({channels, 3}, at::kDouble);
    ranks_.all_reduce(sums)->wait();
    return patches.size(0) > 0 ? standardise(patches, sums) : patches.flatten(1);
  }

  /// All ranks' values [128 N, c] of own ones [128 n, c].
  at::Tensor gather(const at::Tensor& own) const {
    if (ranks_.size() == 1) return own;
    at::Tensor all = at::zeros({total_, own.size(1)}, own.options());
    all.narrow(0, begin_, own.size(0)).copy_(own);
    ranks_.all_reduce(all)->wait();
    return all;
  }

 private:
  Communicator& ranks_;
  RandomKey key_;
  at::Tensor images_, indices_;
  std::int64_t begin_, total_, level_ = 0;
};

double distance_of_level(const MetricInput& input, Side& fake, Side& real, const RandomKey& key) {
  const at::Tensor x = fake.next_level(), y = real.next_level();
  const at::Tensor directions = slice_directions(key, x.size(1));
  at::Tensor sum = at::zeros({1}, at::kDouble);
  for (std::int64_t first = 0; first < slice_count; first += columns_at_once) {
    input.tell("sliced Wasserstein distance");
    const at::Tensor columns = directions.narrow(1, first, columns_at_once);
    const at::Tensor a = fake.gather(x.matmul(columns)), b = real.gather(y.matmul(columns));
    const Share own = share_of(columns_at_once, input.ranks.rank(), input.ranks.size());
    if (own.count == 0) continue;
    sum += sorted_distance(a.narrow(1, own.first, own.count).contiguous(),
                           b.narrow(1, own.first, own.count).contiguous())
               .sum();
  }
  input.ranks.all_reduce(sum)->wait();
  return sum.item<double>() / slice_count * published_scale;
}

std::vector<Score> sliced_score(MetricInput& input) {
  const std::int64_t count =
      std::min({most_images, std::ssize(input.images.kept), std::ssize(input.reference->kept)});
  const RandomKey key{.seed = input.options.seed, .phase = "evaluate"};
  Side fake(ShardedRows::images_of(input.ranks, input.images, count), key);
  Side real(ShardedRows::images_of(input.ranks, *input.reference, count), key);
  std::vector<double> levels;
  double mean = 0;
  while (fake.has_level()) {
    levels.push_back(distance_of_level(input, fake, real, key));
    mean += levels.back();
  }
  mean /= static_cast<double>(levels.size());
  return {{"swd", mean, std::nullopt, {{"levels", levels}, {"images", count}, {"scale", published_scale}}}};
}

}  // namespace

Metric sliced_wasserstein_metric() {
  return {.name = "swd",
          .help = "sliced Wasserstein distance of patches, times 1000",
          .needs = {.images = {.images = most_images}, .reference = {.images = most_images}, .pyramid = true},
          .check = {},
          .compute = sliced_score};
}

}  // namespace ganymede
