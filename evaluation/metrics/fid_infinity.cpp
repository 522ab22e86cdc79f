#include "evaluation/metrics/fid_infinity.h"

#include "core/metrics/frechet_blocks.h"
#include "evaluation/metrics/frechet_lists.h"

namespace ganymede {
namespace {

std::vector<Score> extrapolated(MetricInput& input) {
  const auto runs = growing_runs(std::ssize(input.images.blocks));
  const std::vector<double> values = frechet_distances(input, runs);
  std::vector<double> counts;
  for (const auto& run : runs) {
    std::int64_t images = 0;
    for (const std::int64_t block : run)
      images += input.images.blocks[static_cast<std::size_t>(block)].count();
    counts.push_back(static_cast<double>(images));
  }
  const Estimate estimate = frechet_infinity(counts, values);
  return {{"fid-infinity",
           estimate.value,
           estimate.standard_error,
           {{"error", "standard error of the line's intercept"}, {"points", runs.size()}}}};
}

}  // namespace

Metric fid_infinity_metric() {
  return {
      .name = "fid-infinity",
      .help = "FID extrapolated to infinitely many images",
      .needs = {.images = {.moments = true}, .reference = {.moments = true}, .statistics = true, .blocks = 8},
      .check = check_frechet,
      .compute = extrapolated};
}

}  // namespace ganymede
