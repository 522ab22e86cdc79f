#pragma once

#include "evaluation/metric.h"

namespace ganymede {

/// Inception score (Salimans et al. 2016; core/metrics/inception_score.h) over splits of the shuffled images;
/// needs no reference. The error is the standard error of the mean over the splits.
Metric inception_score_metric();

}  // namespace ganymede
