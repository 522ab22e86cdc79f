#include "evaluation/metrics/fid.h"

#include "core/metrics/frechet_blocks.h"
#include "evaluation/metrics/frechet_lists.h"

namespace ganymede {
namespace {

Score frechet_score(MetricInput& input, const char* name) {
  input.tell("matrix square root");
  std::vector<std::vector<std::int64_t>> lists;
  const std::int64_t blocks = std::ssize(input.images.blocks);
  lists.push_back(every_block(blocks));
  if (blocks > 1)
    for (auto& list : all_but_one(blocks)) lists.push_back(std::move(list));
  const std::vector<double> values = frechet_distances(input, lists);
  Score score{name, values.front()};
  if (blocks > 1) {
    score.error = jackknife(values.front(), {values.begin() + 1, values.end()}).standard_error;
    score.details["error"] = fmt::format("standard error, jackknife over {} blocks of the images", blocks);
  }
  return score;
}

std::vector<Score> spatial_score(MetricInput& input) {
  input.tell("matrix square root");
  double value = 0;
  if (input.ranks.rank() == 0)
    value =
        frechet_distance(Gaussian::of(input.images.spatial.front()), input.statistics->spatial->fitted).value;
  return {{"sfid", from_root(input.ranks, value)}};
}

MetricNeeds moments_needed() {
  return {.images = {.moments = true}, .reference = {.moments = true}, .statistics = true};
}

}  // namespace

Metric fid_metric() {
  return {.name = "fid",
          .help = "Frechet distance between the features of both sets",
          .needs = moments_needed(),
          .check = check_frechet,
          .compute = [](MetricInput& input) { return std::vector{frechet_score(input, "fid")}; }};
}

Metric spatial_fid_metric() {
  return {.name = "sfid",
          .help = "the same of spatial features",
          .needs = {.images = {.spatial_moments = true},
                    .reference = {.spatial_moments = true},
                    .statistics = true},
          .check = check_frechet,
          .compute = spatial_score};
}

Metric fd_dinov2_metric() {
  MetricNeeds needs = moments_needed();
  needs.extractor = "dinov2";
  return {.name = "fd-dinov2",
          .help = "Frechet distance of DINOv2 features",
          .needs = needs,
          .check = check_frechet,
          .compute = [](MetricInput& input) { return std::vector{frechet_score(input, "fd-dinov2")}; }};
}

}  // namespace ganymede
