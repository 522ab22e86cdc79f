#include "evaluation/metrics/density_coverage.h"

#include "core/metrics/manifold_scores.h"
#include "evaluation/neighbourhoods.h"

namespace ganymede {
namespace {

std::vector<Score> density_and_coverage(MetricInput& input) {
  Neighbourhoods& found = *input.neighbours;
  const std::int64_t k = input.options.dc_neighbours;
  input.tell("nearest neighbours");
  ManifoldCounts counts{.fakes = found.images().count(), .reals = found.reference().count()};
  counts.balls = sum_over_ranks(input.ranks, found.images_in_reference(k).open.sum().item<std::int64_t>());
  const at::Tensor covered = found.squared_to_images().lt(found.reference_radii(k));
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
