#include "evaluation/metrics/pairs.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "evaluation/shared_error.h"

namespace ganymede {
namespace {

constexpr std::int64_t pairs_in_a_part = 64;
constexpr std::int64_t values_in_a_part = 1 << 20;  // networks make hundreds of bytes of each

/// [pairs] float64 of all ranks, in order.
at::Tensor figures_of_pairs(MetricInput& input, const Likeness& likeness) {
  // Both passes chose by one seed from one count: the same places.
  const ShardedRows images = ShardedRows::images_of(input.ranks, input.images, most_pairs);
  const ShardedRows reference = ShardedRows::images_of(input.ranks, *input.reference, most_pairs);
  const at::Tensor &a = images.own(), &b = reference.own();
  TORCH_CHECK(a.sizes() == b.sizes(), "pairs of ", a.sizes(), " and ", b.sizes());
  const std::int64_t own = a.size(0), values = std::max<std::int64_t>(1, a.size(1) * a.size(2) * a.size(3));
  const std::int64_t at_once = std::clamp<std::int64_t>(values_in_a_part / values, 1, pairs_in_a_part);
  at::Tensor figures = at::zeros({own}, at::kDouble);
  for (std::int64_t first = 0; first < own; first += at_once) {
    input.tell("pairs of images");
    const std::int64_t part = std::min(at_once, own - first);
    figures.narrow(0, first, part).copy_(likeness(a.narrow(0, first, part), b.narrow(0, first, part)));
  }
  return images.gather(figures);
}

}  // namespace

Score mean_over_pairs(MetricInput& input, std::string_view name, const Likeness& likeness) {
  const at::Tensor all = figures_of_pairs(input, likeness);
  const at::Tensor finite = all.index({all.isinf().logical_not()});
  const std::int64_t count = finite.numel(), equal = all.numel() - count;
  if (count == 0)
    throw SharedError(ExitCode::dataset,
                      fmt::format("{} is infinite: all {} pairs of images are equal", name, equal));
  Score score{std::string(name), finite.mean().item<double>(), std::nullopt, {{"pairs", all.numel()}}};
  if (all.numel() < input.images.count())
    score.warning =
        fmt::format("{} looks at {} of {} pairs, chosen at random", name, all.numel(), input.images.count());
  if (equal > 0) score.details["equal"] = equal;
  if (count > 1) {
    score.error = finite.std().item<double>() / std::sqrt(static_cast<double>(count));
    score.details["error"] = "standard error over the pairs";
  }
  return score;
}

MetricNeeds pairs_needed() {
  return {.images = {.images = most_pairs}, .reference = {.images = most_pairs}, .pairs = true};
}

}  // namespace ganymede
