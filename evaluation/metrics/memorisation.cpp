#include "evaluation/metrics/memorisation.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/error.h"
#include "evaluation/neighbourhoods.h"

namespace ganymede {
namespace {

constexpr std::int64_t listed = 10;

/// The nearest pairs of all ranks' images, nearest first.
nlohmann::json nearest_pairs(const MetricInput& input, const ShardedRows& fake, const NearestRows& nearest) {
  const at::Tensor squared = fake.gather(nearest.squared), reference = fake.gather(nearest.indices);
  const at::Tensor order = at::argsort(squared, /*stable=*/true, /*dim=*/0, /*descending=*/false);
  nlohmann::json pairs = nlohmann::json::array();
  for (std::int64_t i = 0; i < std::min(listed, fake.count()); ++i) {
    const auto position = order[i].item<std::int64_t>();
    const auto match = static_cast<std::size_t>(reference[position].item<std::int64_t>());
    pairs.push_back({{"image", input.images.indices[static_cast<std::size_t>(position)]},
                     {"reference", input.reference->indices[match]},
                     {"distance", std::sqrt(squared[position].item<double>())}});
  }
  return pairs;
}

std::vector<Score> copied(MetricInput& input) {
  Neighbourhoods& found = *input.neighbours;
  const ShardedRows& fake = found.images();
  input.tell("nearest neighbours");
  const at::Tensor radii = found.reference().gather(found.reference_radii(1));
  const NearestRows& nearest = found.nearest_reference();
  const at::Tensor is_copy = nearest.squared.lt(radii.index_select(0, nearest.indices));
  const std::int64_t copies = sum_over_ranks(input.ranks, is_copy.sum().item<std::int64_t>());
  return {{"memorisation",
           static_cast<double>(copies) / static_cast<double>(fake.count()),
           std::nullopt,
           {{"nearest", nearest_pairs(input, fake, nearest)}}}};
}

void check_reference(const MetricOptions&, std::int64_t, std::int64_t reference) {
  if (reference < 2)
    fail(ExitCode::dataset,
         "memorisation looks at the reference images' neighbours: it needs two of them, not {}", reference);
}

}  // namespace

Metric memorisation_metric() {
  return {
      .name = "memorisation",
      .help =
          "share of images that are nearer to a reference image than its own neighbour; the nearest pairs",
      .needs = {.images = {.rows = true}, .reference = {.rows = true}},
      .check = check_reference,
      .compute = copied};
}

}  // namespace ganymede
