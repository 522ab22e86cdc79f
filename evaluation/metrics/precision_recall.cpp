#include "evaluation/metrics/precision_recall.h"

#include "core/metrics/manifold_scores.h"
#include "evaluation/neighbourhoods.h"

namespace ganymede {
namespace {

std::int64_t inside(Communicator& ranks, const BallCounts& counts) {
  return sum_over_ranks(ranks, counts.closed.gt(0).sum().item<std::int64_t>());
}

std::vector<Score> precision_and_recall(MetricInput& input) {
  Neighbourhoods& found = *input.neighbours;
  const std::int64_t k = input.options.pr_neighbours;
  input.tell("nearest neighbours");
  ManifoldCounts counts{.fakes = found.images().count(), .reals = found.reference().count()};
  counts.in_real = inside(input.ranks, found.images_in_reference(k));
  counts.in_fake = inside(input.ranks, found.reference_in_images(k));
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
