#include "evaluation/metrics/inception_score.h"

#include <cmath>

#include "core/error.h"
#include "core/metrics/inception_score.h"
#include "datasets/keyed_permutation.h"

namespace ganymede {
namespace {

void check_splits(const MetricOptions& options, std::int64_t images, std::int64_t) {
  if (images < options.is_splits)
    fail(ExitCode::dataset,
         "the inception score is the mean over {} splits, and there are {} images: lower --splits",
         options.is_splits, images);
}

std::vector<Score> score_of_splits(MetricInput& input) {
  const std::int64_t splits = input.options.is_splits;
  InceptionScore score(input.images.count(), splits, input.images.logits.size(1));
  const KeyedPermutation shuffled(input.images.count(), input.options.seed);
  at::Tensor places = input.images.positions();
  auto* place = places.data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < places.numel(); ++i) place[i] = shuffled(place[i]);
  score.add(input.images.logits, places);
  input.ranks.all_reduce(score.sums())->wait();
  const InceptionScore::Result result = score.result();
  Score figure{"is", result.mean, std::nullopt, {{"splits", splits}, {"deviation", result.deviation}}};
  if (splits > 1) {
    figure.error = result.deviation / std::sqrt(static_cast<double>(splits - 1));
    figure.details["error"] = "standard error of the mean over the splits";
  }
  return {figure};
}

}  // namespace

Metric inception_score_metric() {
  return {.name = "is",
          .help = "inception score: sure of each image's class, and many classes",
          .lower_is_better = false,
          .needs = {.images = {.logits = true}},
          .check = check_splits,
          .compute = score_of_splits};
}

}  // namespace ganymede
