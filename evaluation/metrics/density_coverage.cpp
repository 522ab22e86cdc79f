#include "evaluation/metrics/density_coverage.h"

#include "core/metrics/manifold_scores.h"
#include "evaluation/manifold.h"

namespace ganymede {
namespace {

std::vector<Score> density_and_coverage(MetricInput& input) {
  const ShardedRows fake = ShardedRows::pool_of(input.ranks, input.images);
  const ShardedRows real = ShardedRows::pool_of(input.ranks, *input.reference);
  const std::int64_t k = input.options.dc_neighbours;
  input.tell("nearest neighbours");
  const at::Tensor radii = squared_radii(real, k);
  ManifoldCounts counts{.fakes = fake.count(), .reals = real.count()};
  counts.balls = sum_over_ranks(input.ranks, count_balls(fake, real, radii).open.sum().item<std::int64_t>());
  const at::Tensor covered = nearest_rows(real, fake).squared.lt(radii);
  counts.covered = sum_over_ranks(input.ranks, covered.sum().item<std::int64_t>());
  const ManifoldScores scores = counts.scores(k);
  const nlohmann::json details{{"neighbours", k}};
  return {{"density", scores.density, std::nullopt, details},
          {"coverage", scores.coverage, std::nullopt, details}};
}

}  // namespace

Metric density_coverage_metric() {
  return {.name = "dc",
          .help = "density and coverage by nearest neighbours",
          .lower_is_better = false,
          .needs = {.images = {.rows = true}, .reference = {.rows = true}},
          .leading = "density",
          .check =
              [](const MetricOptions& options, std::int64_t images, std::int64_t reference) {
                check_neighbours("dc", options.dc_neighbours, images, reference);
              },
          .compute = density_and_coverage};
}

}  // namespace ganymede
