#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "core/metrics/gaussian.h"
#include "distributed/communicator.h"
#include "evaluation/feature_pass.h"

namespace ganymede {

/// The mean and covariance of a set of features, and the half factor that scores are computed with.
struct FeatureStatistics {
  at::Tensor mean;        ///< mu [D] float64
  at::Tensor covariance;  ///< Sigma [D, D] float64
  Gaussian fitted;
};

/// What a reference is to the metrics that compare distributions, and where it comes from.
struct ReferenceStatistics {
  std::optional<FeatureStatistics> pool, spatial;
  /// Of the images and the extractor (evaluation/protocol.h); what a foreign file lacks is absent.
  nlohmann::json protocol = nlohmann::json::object();
};

/// Fits what a pass has left, on rank 0, and sends it to all. Collective. Throws SharedError(dataset) for
/// fewer than two images.
ReferenceStatistics statistics_of(Communicator& ranks, ImageFeatures& features, nlohmann::json protocol);

/// Rank 0's on all ranks. Collective.
void broadcast_statistics(Communicator& ranks, ReferenceStatistics& statistics);

}  // namespace ganymede
