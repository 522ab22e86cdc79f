#include "evaluation/metrics/intra_fid.h"

#include <numeric>

#include "core/metrics/frechet.h"
#include "evaluation/shared_error.h"

namespace ganymede {
namespace {

at::Tensor of_class(const ImageFeatures& features, std::int64_t label) {
  return features.labels.eq(label).nonzero().flatten();
}

void check_class(const char* side, std::int64_t label, std::int64_t count) {
  if (count < 2)
    throw SharedError(ExitCode::dataset,
                      fmt::format("intra-fid: class {} has {} images in the {}: two at least are needed",
                                  label, count, side));
}

std::vector<Score> per_class(MetricInput& input) {
  const std::int64_t classes = input.reference->labels.max().item<std::int64_t>() + 1;
  const ShardedRows scored = ShardedRows::pool_of(input.ranks, input.images);
  const ShardedRows real = ShardedRows::pool_of(input.ranks, *input.reference);
  at::Tensor values = at::zeros({classes}, at::kDouble);
  for (std::int64_t label = 0; label < classes; ++label) {
    const at::Tensor own = of_class(input.images, label), reference = of_class(*input.reference, label);
    check_class("scored set", label, own.numel());
    check_class("reference", label, reference.numel());
    const at::Tensor x = scored.fetch(own), y = real.fetch(reference);
    if (label % input.ranks.size() != input.ranks.rank()) continue;
    input.tell("FID of a class");
    values[label] = frechet_distance(Gaussian::of_features(x), Gaussian::of_features(y)).value;
  }
  input.ranks.all_reduce(values)->wait();
  const std::int64_t worst = values.argmax().item<std::int64_t>();
  return {{"intra-fid",
           values.mean().item<double>(),
           std::nullopt,
           {{"classes", classes}, {"worst_class", worst}, {"worst", values[worst].item<double>()}}}};
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
