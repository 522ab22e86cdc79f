#include "evaluation/metrics/ssim.h"

#include "core/metrics/image_similarity.h"
#include "evaluation/metrics/pairs.h"

namespace ganymede {
namespace {

std::vector<Score> similarity_of_structure(MetricInput& input) {
  return {
      mean_over_pairs(input, "ssim", [](const at::Tensor& a, const at::Tensor& b) { return ssim(a, b); })};
}

}  // namespace

Metric ssim_metric() {
  return {.name = "ssim",
          .help = "structural similarity, image by image",
          .lower_is_better = false,
          .needs = pairs_needed(),
          .check = {},
          .compute = similarity_of_structure};
}

}  // namespace ganymede
