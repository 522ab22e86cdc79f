#include "evaluation/metrics/kid.h"

#include "core/error.h"
#include "core/metrics/kernel_distance.h"
#include "evaluation/rounds.h"

namespace ganymede {
namespace {

std::int64_t subset_size(const MetricOptions& options, std::int64_t images, std::int64_t reference) {
  return options.kid_subset_size > 0 ? options.kid_subset_size
                                     : std::min({std::int64_t{1000}, images, reference});
}

void check_subsets(const MetricOptions& options, std::int64_t images, std::int64_t reference) {
  const std::int64_t size = subset_size(options, images, reference), fewer = std::min(images, reference);
  if (size < 2 || size > fewer)
    fail(ExitCode::dataset,
         "kid draws subsets of {} images, and one set has {}: lower --subset-size, or score more", size,
         fewer);
}

std::vector<Score> kernel_score(MetricInput& input) {
  const ShardedRows scored = ShardedRows::pool_of(input.ranks, input.images);
  const ShardedRows real = ShardedRows::pool_of(input.ranks, *input.reference);
  const MetricOptions& options = input.options;
  const std::int64_t size = subset_size(options, scored.count(), real.count()), subsets = options.kid_subsets;
  const RandomKey key{.seed = options.seed, .phase = "evaluate", .layer = "kid"};
  RandomKey scored_key = key, real_key = key;
  scored_key.stream = "images";
  real_key.stream = "reference";
  const at::Tensor x = draw_subsets(scored_key, scored.count(), subsets, size);
  const at::Tensor y = draw_subsets(real_key, real.count(), subsets, size);
  const at::Tensor values = figures_in_rounds(
      scored, real, subsets, [&](std::int64_t i) { return std::pair(x[i], y[i]); },
      [&](const at::Tensor& own, const at::Tensor& reference) {
        input.tell("kernel distance");
        return squared_mmd(own, reference);
      });
  const KernelDistance distance =
      kernel_distance({values.const_data_ptr<double>(), values.const_data_ptr<double>() + subsets});
  Score score{"kid",
              distance.mean,
              standard_error(distance, size, std::min(scored.count(), real.count())),
              {{"deviation", distance.deviation}, {"subsets", subsets}, {"subset_size", size}}};
  if (score.error) score.details["error"] = "standard error, jackknife over the subsets";
  return {score};
}

}  // namespace

Metric kid_metric() {
  return {.name = "kid",
          .help = "kernel distance between the features, unbiased, over subsets",
          .needs = {.images = {.rows = true}, .reference = {.rows = true}},
          .check = check_subsets,
          .compute = kernel_score};
}

}  // namespace ganymede
