#include "evaluation/statistics.h"

#include <ATen/ATen.h>

#include "core/strict_json.h"
#include "evaluation/shared_error.h"

namespace ganymede {
namespace {

FeatureStatistics fit(Moments& moments) {
  return {moments.mean(), moments.covariance(), Gaussian::of(moments)};
}

Moments joined(std::vector<Moments>& blocks) {
  Moments all(blocks.front().dimension());
  for (Moments& block : blocks) all.merge(block);
  return all;
}

void broadcast_part(Communicator& ranks, std::optional<FeatureStatistics>& part) {
  const bool root = ranks.rank() == 0;
  at::Tensor head = at::zeros({5}, at::kDouble);
  if (root && part)
    head = at::tensor(
        {1., static_cast<double>(part->mean.size(0)), static_cast<double>(part->fitted.half.size(1)),
         part->fitted.trace, static_cast<double>(part->fitted.count)},
        at::kDouble);
  ranks.broadcast(head, 0)->wait();
  const double* values = head.const_data_ptr<double>();
  if (values[0] == 0) return;
  if (!root) {
    const auto dimension = static_cast<std::int64_t>(values[1]), rank = static_cast<std::int64_t>(values[2]);
    part.emplace();
    part->mean = at::empty({dimension}, at::kDouble);
    part->fitted = {part->mean, at::empty({dimension, rank}, at::kDouble), values[3],
                    static_cast<std::int64_t>(values[4])};
  }
  part->fitted.half = part->fitted.half.contiguous();
  ranks.broadcast(part->mean, 0)->wait();
  ranks.broadcast(part->fitted.half, 0)->wait();
  part->fitted.mean = part->mean;
}

}  // namespace

ReferenceStatistics statistics_of(Communicator& ranks, ImageFeatures& features, nlohmann::json protocol) {
  if (features.count() < 2)
    throw SharedError(ExitCode::dataset,
                      "one image has no covariance: give a reference of two images at least");
  ReferenceStatistics statistics;
  statistics.protocol = std::move(protocol);
  if (ranks.rank() == 0) {
    if (!features.blocks.empty()) {
      Moments all = joined(features.blocks);
      statistics.pool = fit(all);
    }
    if (!features.spatial.empty()) statistics.spatial = fit(features.spatial.front());
  }
  broadcast_statistics(ranks, statistics);
  return statistics;
}

void broadcast_statistics(Communicator& ranks, ReferenceStatistics& statistics) {
  broadcast_part(ranks, statistics.pool);
  broadcast_part(ranks, statistics.spatial);
  statistics.protocol = nlohmann::json::parse(ranks.broadcast_text(json_text(statistics.protocol), 0));
}

}  // namespace ganymede
