#include "evaluation/metrics/pairs.h"

#include <cmath>

#include "evaluation/shared_error.h"

namespace ganymede {
namespace {

constexpr std::int64_t pairs_in_a_part = 64;

/// [pairs] float64 of all ranks, in order.
at::Tensor figures_of_pairs(MetricInput& input, const Likeness& likeness) {
  const at::Tensor &a = input.images.images, &b = input.reference->images;
  TORCH_CHECK(a.sizes() == b.sizes(), "pairs of ", a.sizes(), " and ", b.sizes());
  const std::int64_t stride = input.images.stride, own = a.size(0);
  at::Tensor all = at::zeros({(input.images.count() + stride - 1) / stride}, at::kDouble);
  const std::int64_t begin = (input.images.share.first + stride - 1) / stride;
  for (std::int64_t first = 0; first < own; first += pairs_in_a_part) {
    input.tell("pairs of images");
    const std::int64_t part = std::min(pairs_in_a_part, own - first);
    all.narrow(0, begin + first, part).copy_(likeness(a.narrow(0, first, part), b.narrow(0, first, part)));
  }
  input.ranks.all_reduce(all)->wait();
  return all;
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
  if (equal > 0) score.details["equal"] = equal;
  if (count > 1) {
    score.error = finite.std().item<double>() / std::sqrt(static_cast<double>(count));
    score.details["error"] = "standard error over the pairs";
  }
  return score;
}

MetricNeeds pairs_needed() {
  return {.images = {.images = true}, .reference = {.images = true}, .pairs = true};
}

}  // namespace ganymede
