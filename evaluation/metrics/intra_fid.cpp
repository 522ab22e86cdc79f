#include "evaluation/metrics/intra_fid.h"

#include "core/metrics/frechet.h"
#include "evaluation/classes.h"
#include "evaluation/rounds.h"

namespace ganymede {
namespace {

at::Tensor of_class(const ImageFeatures& features, std::int64_t label) {
  return features.labels.eq(label).nonzero().flatten();
}

std::string warning_of(const CommonClasses& classes, std::int64_t dimensions) {
  std::string text = classes.omission();
  if (classes.fewest <= dimensions)
    text += fmt::format(
        "{}a class has {} images for {} dimensions: its covariance is singular, and its distance far "
        "too large; compare it with none of another count",
        text.empty() ? "" : "; ", classes.fewest, dimensions);
  return text.empty() ? text : "intra-fid: " + text;
}

std::vector<Score> per_class(MetricInput& input) {
  const CommonClasses classes = common_classes(input.images.labels, input.reference->labels);
  const auto count = std::ssize(classes.scored);
  const ShardedRows scored = ShardedRows::pool_of(input.ranks, input.images);
  const ShardedRows real = ShardedRows::pool_of(input.ranks, *input.reference);
  const at::Tensor values = figures_in_rounds(
      scored, real, count,
      [&](std::int64_t i) {
        const std::int64_t label = classes.scored[static_cast<std::size_t>(i)];
        return std::pair(of_class(input.images, label), of_class(*input.reference, label));
      },
      [&](const at::Tensor& x, const at::Tensor& y) {
        input.tell("FID of a class");
        return frechet_distance(Gaussian::of_features(x), Gaussian::of_features(y)).value;
      });
  const auto worst = values.argmax().item<std::int64_t>();
  Score score{"intra-fid",
              values.mean().item<double>(),
              std::nullopt,
              {{"classes", count},
               {"worst_class", classes.scored[static_cast<std::size_t>(worst)]},
               {"worst", values[worst].item<double>()}},
              warning_of(classes, scored.own().size(1))};
  if (classes.images + classes.reference > 0)
    score.details["left_out"] = {
        {"classes", classes.left_out}, {"images", classes.images}, {"reference", classes.reference}};
  return {score};
}

}  // namespace

Metric intra_fid_metric() {
  return {.name = "intra-fid",
          .help = "mean over classes of the FID of a class",
          .needs = {.images = {.rows = true}, .reference = {.rows = true}, .classes = true},
          .check = {},
          .compute = per_class};
}

}  // namespace ganymede
