#pragma once

#include "evaluation/metric.h"

namespace ganymede {

/// Density and coverage by k nearest neighbours (Naeem et al. 2020; core/metrics/manifold_scores.h).
Metric density_coverage_metric();

}  // namespace ganymede
