#include "evaluation/metrics/ms_ssim.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/error.h"
#include "core/metrics/image_similarity.h"

namespace ganymede {
namespace {

constexpr std::int64_t pairs_at_once = 64;
constexpr std::int64_t most_compared = 2000;

void check_pairs(const MetricOptions&, std::int64_t images, std::int64_t) {
  if (images < 2) fail(ExitCode::dataset, "ms-ssim compares pairs: it needs two images at least");
}

std::vector<Score> likeness(MetricInput& input) {
  const ShardedRows images = ShardedRows::images_of(input.ranks, input.images, most_compared);
  const RandomKey key{.seed = input.options.seed, .phase = "evaluate", .layer = "ms-ssim", .stream = "pairs"};
  const std::int64_t count = input.options.pairs;
  const at::Tensor pairs = draw_pairs(key, images.count(), count);
  at::Tensor values = at::zeros({count}, at::kDouble);
  for (std::int64_t first = 0; first < count; first += pairs_at_once) {
    const std::int64_t part = std::min(pairs_at_once, count - first);
    const at::Tensor both = images.fetch(pairs.narrow(0, first, part).flatten());
    const Share own = share_of(part, input.ranks.rank(), input.ranks.size());
    if (own.count == 0) continue;
    input.tell("structural similarity");
    const at::Tensor mine = both.unflatten(0, {part, 2}).narrow(0, own.first, own.count);
    values.narrow(0, first + own.first, own.count)
        .copy_(ms_ssim(mine.select(1, 0).contiguous(), mine.select(1, 1).contiguous()));
  }
  input.ranks.all_reduce(values)->wait();
  Score score{
      "ms-ssim", values.mean().item<double>(), std::nullopt, {{"pairs", count}, {"images", images.count()}}};
  if (count > 1) {
    score.error = values.std().item<double>() / std::sqrt(static_cast<double>(count));
    score.details["error"] = "standard error over the pairs";
  }
  return {score};
}

}  // namespace

Metric ms_ssim_metric() {
  return {.name = "ms-ssim",
          .help = "how alike the images are among themselves; no reference",
          .needs = {.images = {.images = most_compared}, .least_side = 16},
          .check = check_pairs,
          .compute = likeness};
}

}  // namespace ganymede
