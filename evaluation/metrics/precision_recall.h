#pragma once

#include "evaluation/metric.h"

namespace ganymede {

/// Improved precision and recall by k nearest neighbours (Kynkaanniemi et al. 2019;
/// core/metrics/manifold_scores.h).
Metric precision_recall_metric();

}  // namespace ganymede
