#include "evaluation/metric.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "core/error.h"
#include "core/options.h"
#include "evaluation/metrics/bits_per_dimension.h"
#include "evaluation/metrics/density_coverage.h"
#include "evaluation/metrics/fid.h"
#include "evaluation/metrics/fid_infinity.h"
#include "evaluation/metrics/inception_score.h"
#include "evaluation/metrics/intra_fid.h"
#include "evaluation/metrics/kid.h"
#include "evaluation/metrics/lpips.h"
#include "evaluation/metrics/memorisation.h"
#include "evaluation/metrics/ms_ssim.h"
#include "evaluation/metrics/path_length.h"
#include "evaluation/metrics/precision_recall.h"
#include "evaluation/metrics/psnr.h"
#include "evaluation/metrics/sliced_wasserstein.h"
#include "evaluation/metrics/ssim.h"

namespace ganymede {

std::span<const Metric> metrics() {
  static const std::vector<Metric> table{
      fid_metric(),
      spatial_fid_metric(),
      fd_dinov2_metric(),
      fid_infinity_metric(),
      intra_fid_metric(),
      kid_metric(),
      inception_score_metric(),
      precision_recall_metric(),
      density_coverage_metric(),
      memorisation_metric(),
      sliced_wasserstein_metric(),
      ms_ssim_metric(),
      reconstruction_fid_metric(),
      psnr_metric(),
      ssim_metric(),
      lpips_metric(),
      path_length_metric(),
      bits_per_dimension_metric(),
  };
  return table;
}

const Metric& find_metric(const std::string& name) {
  std::vector<std::string> names;
  for (const Metric& metric : metrics()) {
    if (name == metric.name) return metric;
    names.emplace_back(metric.name);
  }
  const std::string meant = nearest(name, names);
  fail(ExitCode::options, "there is no metric '{}': {}", name,
       meant.empty() ? fmt::format("give some of {}", fmt::join(names, ","))
                     : fmt::format("did you mean {}?", meant));
}

double from_root(Communicator& ranks, double value) {
  at::Tensor shared = at::full({1}, value, at::kDouble);
  ranks.broadcast(shared, 0)->wait();
  return shared.item<double>();
}

}  // namespace ganymede
