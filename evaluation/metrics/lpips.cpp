#include "evaluation/metrics/lpips.h"

#include "core/error.h"
#include "evaluation/metrics/pairs.h"
#include "models/features/lpips.h"

namespace ganymede {
namespace {

/// bytes to [-1, 1] in three channels.
at::Tensor lpips_pixels(const at::Tensor& bytes) {
  return (bytes.to(at::kFloat) / 127.5 - 1).expand({-1, 3, -1, -1});
}

std::vector<Score> learned_distance(MetricInput& input) {
  const Lpips& network = *input.options.lpips;
  Score score = mean_over_pairs(input, "lpips", [&](const at::Tensor& a, const at::Tensor& b) {
    return network.distance(lpips_pixels(a), lpips_pixels(b)).cpu();
  });
  score.details["weights"] = network.digest();
  return {score};
}

void check_weights(const MetricOptions& options, std::int64_t, std::int64_t) {
  if (!options.lpips)
    fail(ExitCode::options, "lpips needs the weights of VGG16 and of its heads: name both files by --lpips");
}

}  // namespace

Metric lpips_metric() {
  MetricNeeds needs = pairs_needed();
  needs.least_side = 16;
  return {.name = "lpips",
          .help = "learned distance, image by image; needs --lpips",
          .needs = needs,
          .check = check_weights,
          .compute = learned_distance};
}

}  // namespace ganymede
