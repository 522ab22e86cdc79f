#include "evaluation/metrics/sliced_wasserstein.h"

#include "core/metrics/sliced_wasserstein.h"
#include "evaluation/selection.h"

namespace ganymede {
namespace {

constexpr std::int64_t images_at_once = 256;
constexpr std::int64_t columns_at_once = 16;
constexpr double published_scale = 1000;

/// One side: this rank's images, of the first `count` that a random order gives.
class Side {
 public:
  Side(const ShardedRows& images, std::int64_t count, const RandomKey& key)
      : ranks_(images.ranks()), key_(key) {
    const at::Tensor chosen =
        at::tensor(select_images(images.count(), count, key.seed, "the images"), at::kLong);
    const at::Tensor own = at::isin(images.positions(), chosen).nonzero().flatten();
    images_ = images.own().index_select(0, own);
    indices_ = images.positions().index_select(0, own);
    at::Tensor counts = at::zeros({ranks_.size()}, at::kLong);
    counts[ranks_.rank()] = own.numel() * patches_per_image;
    ranks_.all_reduce(counts)->wait();
    begin_ = counts.narrow(0, 0, ranks_.rank()).sum().item<std::int64_t>();
    total_ = counts.sum().item<std::int64_t>();
  }

  std::int64_t levels() const {
    std::int64_t count = 1;
    for (std::int64_t side = images_.size(2); side > 16; side /= 2) ++count;
    return count;
  }

  /// Descriptors [128 n, 49 C] of a level, standardised over all ranks'.
  at::Tensor descriptors(std::int64_t level) const {
    const std::int64_t channels = images_.size(1), pixels = patch_side * patch_side;
    std::vector<at::Tensor> parts{at::empty({0, channels, pixels})};
    for (std::int64_t first = 0; first < images_.size(0); first += images_at_once) {
      const std::int64_t part = std::min(images_at_once, images_.size(0) - first);
      const auto pyramid = laplacian_pyramid(images_.narrow(0, first, part));
      parts.push_back(draw_patches(pyramid[static_cast<std::size_t>(level)], level, key_,
                                   indices_.narrow(0, first, part)));
    }
    at::Tensor patches = at::cat(parts);
    parts.clear();
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
  std::int64_t begin_ = 0, total_ = 0;
};

double distance_of_level(const MetricInput& input, const Side& fake, const Side& real, std::int64_t level,
                         const RandomKey& key) {
  const at::Tensor x = fake.descriptors(level), y = real.descriptors(level);
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
  const ShardedRows images = ShardedRows::images_of(input.ranks, input.images);
  const ShardedRows reference = ShardedRows::images_of(input.ranks, *input.reference);
  const std::int64_t count = std::min(images.count(), reference.count());
  const RandomKey key{.seed = input.options.seed, .phase = "evaluate"};
  const Side fake(images, count, key), real(reference, count, key);
  std::vector<double> levels;
  double mean = 0;
  for (std::int64_t level = 0; level < fake.levels(); ++level) {
    levels.push_back(distance_of_level(input, fake, real, level, key));
    mean += levels.back();
  }
  mean /= static_cast<double>(levels.size());
  return {{"swd", mean, std::nullopt, {{"levels", levels}, {"images", count}, {"scale", published_scale}}}};
}

}  // namespace

Metric sliced_wasserstein_metric() {
  return {.name = "swd",
          .help = "sliced Wasserstein distance of patches, times 1000",
          .needs = {.images = {.images = true}, .reference = {.images = true}, .pyramid = true},
          .check = {},
          .compute = sliced_score};
}

}  // namespace ganymede
