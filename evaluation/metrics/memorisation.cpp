#include "evaluation/metrics/memorisation.h"

#include <cmath>

#include "evaluation/manifold.h"

namespace ganymede {
namespace {

constexpr std::int64_t listed = 10;

/// The nearest pairs of all ranks' images, nearest first.
nlohmann::json nearest_pairs(const MetricInput& input, const ShardedRows& fake, const NearestRows& nearest) {
  const at::Tensor all = at::arange(fake.count(), at::kLong);
  const auto gathered = [&](const at::Tensor& own) {
    return ShardedRows(input.ranks, own.to(at::kDouble), fake.count(), fake.unit()).fetch(all);
  };
  const at::Tensor squared = gathered(nearest.squared), reference = gathered(nearest.indices);
  const at::Tensor order = at::argsort(squared, /*stable=*/true, /*dim=*/0, /*descending=*/false);
  nlohmann::json pairs = nlohmann::json::array();
  for (std::int64_t i = 0; i < std::min(listed, fake.count()); ++i) {
    const auto position = order[i].item<std::int64_t>();
    const auto match = static_cast<std::size_t>(reference[position].item<double>());
    pairs.push_back({{"image", input.images.indices[static_cast<std::size_t>(position)]},
                     {"reference", input.reference->indices[match]},
                     {"distance", std::sqrt(squared[position].item<double>())}});
  }
  return pairs;
}

std::vector<Score> copied(MetricInput& input) {
  const ShardedRows fake = ShardedRows::pool_of(input.ranks, input.images);
  const ShardedRows real = ShardedRows::pool_of(input.ranks, *input.reference);
  input.tell("nearest neighbours");
  const at::Tensor radii = ShardedRows(input.ranks, squared_radii(real, 1), real.count(), real.unit())
                               .fetch(at::arange(real.count(), at::kLong));
  const NearestRows nearest = nearest_rows(fake, real);
  const at::Tensor is_copy = nearest.squared.lt(radii.index_select(0, nearest.indices));
  const std::int64_t copies = sum_over_ranks(input.ranks, is_copy.sum().item<std::int64_t>());
  return {{"memorisation",
           static_cast<double>(copies) / static_cast<double>(fake.count()),
           std::nullopt,
           {{"nearest", nearest_pairs(input, fake, nearest)}}}};
}

}  // namespace

Metric memorisation_metric() {
  return {
      .name = "memorisation",
      .help =
          "share of images that are nearer to a reference image than its own neighbour; the nearest pairs",
      .needs = {.images = {.rows = true}, .reference = {.rows = true}},
      .check = [](const MetricOptions&, std::int64_t images,
                  std::int64_t reference) { check_neighbours("memorisation", 1, images + 1, reference); },
      .compute = copied};
}

}  // namespace ganymede
