#include "evaluation/metrics/path_length.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "core/metrics/path_length.h"
#include "models/features/lpips.h"

namespace ganymede {
namespace {

constexpr double path_step = 1e-4;
constexpr std::int64_t largest_side = 256;
constexpr std::int64_t paths_at_once = 16;

/// About [-1, 1], in three channels, averaged down to 256 pixels.
at::Tensor seen(const at::Tensor& images) {
  const std::int64_t factor = images.size(3) / largest_side;
  const at::Tensor small = factor > 1 ? at::avg_pool2d(images, {factor, factor}) : images;
  return small.expand({-1, 3, -1, -1}).contiguous();
}

std::vector<Score> path_length(MetricInput& input) {
  const Lpips& network = *input.options.lpips;
  const Share share = input.images.share;
  at::Tensor lengths = at::zeros({input.images.count()}, at::kDouble);
  std::int64_t place = share.first;
  input.set.read_paths(share, paths_at_once, path_step, [&](const at::Tensor& from, const at::Tensor& to) {
    input.tell("path length");
    const at::Tensor squared =
        network.distance(seen(from), seen(to)).cpu().to(at::kDouble) / (path_step * path_step);
    lengths.narrow(0, place, squared.size(0)).copy_(squared);
    place += squared.size(0);
  });
  input.ranks.all_reduce(lengths)->wait();
  const Estimate mean = mean_within_percentiles(lengths);
  return {{"ppl",
           mean.value,
           mean.standard_error,
           {{"error", "standard error over the paths"},
            {"paths", lengths.numel()},
            {"space", "z"},
            {"step", path_step},
            {"weights", network.digest()}}}};
}

void check_lpips(const MetricOptions& options, std::int64_t, std::int64_t) {
  if (!options.lpips)
    fail(ExitCode::options,
         "ppl needs the weights of VGG16 and of LPIPS's heads: name both files by --lpips");
}

}  // namespace

Metric path_length_metric() {
  return {.name = "ppl",
          .help = "perceptual path length between latents of a run; needs --lpips",
          .needs = {.least_side = 16, .paths = true},
          .check = check_lpips,
          .compute = path_length};
}

}  // namespace ganymede
