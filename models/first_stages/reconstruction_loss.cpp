#include "models/first_stages/reconstruction_loss.h"

#include <ATen/ATen.h>

#include "core/error.h"

namespace ganymede {
namespace {

std::shared_ptr<const Lpips> read(const ReconstructionOptions& options, at::Device device) {
  if (!options.has_lpips()) return nullptr;
  const std::string& files = options.lpips;
  const std::size_t comma = files.find(',');
  const std::string trunk = files.substr(0, comma);
  FrozenPlace place;
  place.device = device;
  return std::make_shared<const Lpips>(
      Lpips::load(trunk, comma == files.npos ? trunk : files.substr(comma + 1), place));
}

at::Tensor mean_of_each(const at::Tensor& x) {
  return x.flatten(1).mean(1);
}

/// Mean absolute slope of a difference along one axis.
at::Tensor slope(const at::Tensor& difference, std::int64_t axis) {
  return mean_of_each(at::diff(difference, 1, axis).abs());
}

}  // namespace

void ReconstructionOptions::describe(OptionSchema& schema) {
  schema.add("reconstruction.distance", distance, {"l1", "l2"},
             "between image and reconstruction, of each pixel");
  schema.add(
      "reconstruction.lpips", lpips, {},
      "VGG16[,HEADS]: weights of LPIPS, in one file or two; none for the difference of slopes in its place");
  schema.add("reconstruction.perceptual", perceptual, "", {0, 1e6},
             "weight of LPIPS, where there are weights for it");
  schema.add("reconstruction.gradient", gradient, "", {0, 1e6},
             "weight of the difference of slopes, which stands in for LPIPS where there are none");
}

void ReconstructionOptions::check(std::int64_t channels, std::int64_t resolution) const {
  if (!has_lpips()) return;
  if (channels != 1 && channels != 3)
    fail(ExitCode::options,
         "reconstruction.lpips: LPIPS looks at images of 1 or 3 channels, these have {}: leave it out",
         channels);
  if (resolution < 16)
    fail(ExitCode::options,
         "reconstruction.lpips: LPIPS looks at 16 pixels or more, these images have {}: leave it out",
         resolution);
}

std::string ReconstructionOptions::warning() const {
  return !has_lpips()
             ? fmt::format(
                   "reconstruction.lpips names no weights: the loss is {} and the difference of slopes, "
                   "not LPIPS",
                   distance == "l1" ? "L1" : "L2")
             : "";
}

ReconstructionLoss::ReconstructionLoss(const ReconstructionOptions& options, at::Device device)
    : options_(options), lpips_(read(options, device)) {}

at::Tensor ReconstructionLoss::operator()(const at::Tensor& x, const at::Tensor& y) const {
  const at::Tensor difference = y - x;
  const at::Tensor distance =
      mean_of_each(options_.distance == "l1" ? difference.abs() : difference.square());
  if (lpips_) {
    const auto coloured = [](const at::Tensor& images) { return images.expand({-1, 3, -1, -1}); };
    return distance +
           options_.perceptual * lpips_->distance(coloured(x), coloured(y)).to(distance.scalar_type());
  }
  if (options_.gradient == 0) return distance;
  return distance + options_.gradient * (slope(difference, 2) + slope(difference, 3));
}

}  // namespace ganymede
