#include "evaluation/metrics/psnr.h"

#include "core/metrics/image_similarity.h"
#include "evaluation/metrics/pairs.h"

namespace ganymede {
namespace {

std::vector<Score> signal_to_noise(MetricInput& input) {
  return {
      mean_over_pairs(input, "psnr", [](const at::Tensor& a, const at::Tensor& b) { return psnr(a, b); })};
}

}  // namespace

Metric psnr_metric() {
  return {.name = "psnr",
          .help = "peak signal-to-noise ratio in dB, image by image",
          .lower_is_better = false,
          .needs = pairs_needed(),
          .check = {},
          .compute = signal_to_noise};
}

}  // namespace ganymede
