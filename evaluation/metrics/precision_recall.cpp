#include "evaluation/metrics/precision_recall.h"

#include "core/metrics/manifold_scores.h"
#include "evaluation/manifold.h"

namespace ganymede {
namespace {

std::int64_t inside(const ShardedRows& queries, const ShardedRows& centres, std::int64_t k) {
  const BallCounts counts = count_balls(queries, centres, squared_radii(centres, k));
  return sum_over_ranks(queries.ranks(), counts.closed.gt(0).sum().item<std::int64_t>());
}

std::vector<Score> precision_and_recall(MetricInput& input) {
  const ShardedRows fake = ShardedRows::pool_of(input.ranks, input.images);
  const ShardedRows real = ShardedRows::pool_of(input.ranks, *input.reference);
  const std::int64_t k = input.options.pr_neighbours;
  input.tell("nearest neighbours");
  ManifoldCounts counts{.fakes = fake.count(), .reals = real.count()};
  counts.in_real = inside(fake, real, k);
  counts.in_fake = inside(real, fake, k);
  const ManifoldScores scores = counts.scores(k);
  const nlohmann::json details{{"neighbours", k}};
  return {{"precision", scores.precision, std::nullopt, details},
          {"recall", scores.recall, std::nullopt, details}};
}

}  // namespace

Metric precision_recall_metric() {
  return {.name = "pr",
          .help = "precision and recall by nearest neighbours",
          .lower_is_better = false,
          .needs = {.images = {.rows = true}, .reference = {.rows = true}},
          .leading = "precision",
          .check =
              [](const MetricOptions& options, std::int64_t images, std::int64_t reference) {
                check_neighbours("pr", options.pr_neighbours, images, reference);
              },
          .compute = precision_and_recall};
}

}  // namespace ganymede
