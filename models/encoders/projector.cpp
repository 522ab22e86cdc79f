#include "models/encoders/projector.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "core/adam.h"
#include "core/device.h"
#include "core/error.h"

namespace ganymede {
namespace {

constexpr std::int64_t style_draws = 10000, style_batch = 500;
constexpr double rise = 0.05, fall = 0.25, noisy_part = 0.75;
constexpr std::int64_t perceived_height = 256, least_perceived = 16;

}  // namespace

void ProjectorOptions::check(const ProjectionNetworks& networks, const ImageSpec& images,
                             bool anomaly) const {
  if (space != "z" && !networks.has_styles())
    fail(ExitCode::options, "--space {}: this generator has no styles: give --space z", space);
  if (steps == 0 && !(space == "z" && networks.has_encoder()))
    fail(ExitCode::options, "--steps 0 shows what an encoder says, and {}: give the steps of a search",
         networks.has_encoder() ? "it says z: leave out --space" : "this run has none");
  if ((anomaly || loss == "anogan") && lambda > 0 && !networks.has_features())
    fail(ExitCode::options,
         "the anomaly score looks at the discriminator's features of an image, but {}: give --anomaly-lambda "
         "0",
         networks.why_no_features());
  if (lpips > 0 && (images.channels != 3 || std::min(images.height, images.width) < least_perceived))
    fail(ExitCode::options,
         "--lpips looks at images of 3 channels and at least {0}x{0} pixels, not {1}x{2}x{3}",
         least_perceived, images.channels, images.height, images.width);
}

Projector::Projector(ProjectionNetworks& networks, const ProjectorOptions& options, const Lpips* lpips)
    : networks_(networks), options_(options), lpips_(lpips) {
  if (options_.lr == 0) options_.lr = options_.space == "z" ? 0.05 : 0.1;
  if (options_.space != "z") measure_styles();
}

void Projector::measure_styles() {
  const at::NoGradGuard no_grad;
  const RandomStream random({.seed = options_.seed, .phase = "project", .stream = "styles"});
  const RandomStream random_labels({.seed = options_.seed, .phase = "project", .stream = "labels"});
  std::vector<at::Tensor> all;
  for (std::int64_t first = 0; first < style_draws; first += style_batch) {
    const at::Tensor z = to_device(
        random.normal(first, style_batch, networks_.latent_size(), networks_.dtype()), networks_.device());
    const at::Tensor labels =
        to_device(random_labels.integers(first, style_batch, networks_.classes()), networks_.device());
    all.push_back(networks_.styles(z, labels).to(at::kDouble).clone());
  }
  const at::Tensor styles = at::cat(all);
  const at::Tensor mean = styles.mean(0);
  style_deviation_ = (styles - mean).square().sum(2).mean().sqrt().item<double>();
  style_mean_ = mean.to(networks_.dtype());
}

std::vector<std::int64_t> Projector::latent_shape() const {
  if (options_.space == "z") return {networks_.latent_size()};
  if (options_.space == "w") return {style_mean_.size(1)};
  return style_mean_.sizes().vec();
}

at::Tensor Projector::start(std::int64_t first, const Target& target) {
  const std::int64_t count = target.images.size(0);
  if (options_.space == "w") return style_mean_[0].unsqueeze(0).expand({count, -1}).clone();
  if (options_.space == "w+") return style_mean_.unsqueeze(0).expand({count, -1, -1}).clone();
  if (networks_.has_encoder()) return networks_.encoded(target.images).clone();
  return to_device(RandomStream({.seed = options_.seed, .phase = "project", .stream = "z"})
                       .normal(first, count, networks_.latent_size(), networks_.dtype()),
                   networks_.device());
}

at::Tensor Projector::images_of(const at::Tensor& latents, const Target& target) {
  if (options_.space == "z") return networks_.images(latents, target.labels);
  if (options_.space == "w+") return networks_.images_of_styles(latents);
  return networks_.images_of_styles(latents.unsqueeze(1).expand({-1, style_mean_.size(0), -1}));
}

at::Tensor Projector::noisy(const at::Tensor& latents, std::int64_t first, std::int64_t step) const {
  if (options_.space == "z") return latents;
  const double progress = static_cast<double>(step) / (noisy_part * static_cast<double>(options_.steps));
  const double t = std::max(0.0, 1 - progress), scale = options_.noise * style_deviation_ * t * t;
  if (scale == 0) return latents;
  const at::Tensor noise = RandomStream({.seed = options_.seed,
                                         .phase = "project",
                                         .step = static_cast<std::uint64_t>(step),
                                         .stream = "noise"})
                               .normal(first, latents.size(0), latents[0].numel(), latents.scalar_type());
  return latents + scale * to_device(noise, latents.device()).view(latents.sizes());
}

double Projector::rate(std::int64_t step) const {
  const double steps = static_cast<double>(options_.steps), t = static_cast<double>(step) / steps;
  const double rising = std::min(1.0, (t + 1 / steps) / rise), falling = std::min(1.0, (1 - t) / fall);
  return options_.lr * rising * (0.5 - 0.5 * std::cos(falling * std::numbers::pi));
}

at::Tensor Projector::residual(const at::Tensor& images, const Target& target) const {
  return (target.images - images).abs().flatten(1).sum(1);
}

at::Tensor Projector::feature_difference(const at::Tensor& images, const Target& target) {
  if (!target.features.defined()) return at::zeros({images.size(0)}, images.options());
  return (target.features - networks_.features(images, target.labels)).abs().flatten(1).sum(1);
}

at::Tensor Projector::perceived_distance(const at::Tensor& images, const Target& target) const {
  const std::int64_t height = images.size(2), least = std::min(height, images.size(3));
  const std::int64_t shrink =
      std::max<std::int64_t>(1, std::min(height / perceived_height, least / least_perceived));
  const auto seen = [&](const at::Tensor& x) { return shrink > 1 ? at::avg_pool2d(x, shrink) : x; };
  return lpips_->distance(seen(images), seen(target.images));
}

at::Tensor Projector::losses(const at::Tensor& images, const Target& target) {
  at::Tensor each = options_.loss == "anogan" ? (1 - options_.lambda) * residual(images, target) +
                                                    options_.lambda * feature_difference(images, target)
                                              : (target.images - images).square().flatten(1).mean(1);
  if (options_.lpips > 0) each = each + options_.lpips * perceived_distance(images, target);
  return each;
}

Projections Projector::project(std::int64_t first, const at::Tensor& images, const at::Tensor& labels,
                               bool anomaly, const Advance& advance) {
  Target target{images.to(networks_.device(), networks_.dtype()), to_device(labels, networks_.device()), {}};
  const bool features = options_.lambda > 0 && (anomaly || options_.loss == "anogan");
  at::Tensor latents;
  {
    const at::NoGradGuard no_grad;
    if (features) target.features = networks_.features(target.images, target.labels);
    latents = start(first, target).contiguous();
  }
  at::Tensor gradient, m = at::zeros_like(latents), v = at::zeros_like(latents);
  for (std::int64_t step = 0; step < options_.steps; ++step) {
    const at::AutoGradMode gradients(true);
    at::Tensor variable = latents.detach().requires_grad_(true);
    const at::Tensor found = images_of(noisy(variable, first, step), target);
    losses(found, target).sum().backward({}, /*retain_graph=*/false, /*create_graph=*/false, {variable});
    const at::NoGradGuard no_grad;
    adam_step({.lr = rate(step), .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .t = step + 1},
              latents.view({-1}), variable.grad().contiguous().view({-1}), m.view({-1}), v.view({-1}), {});
    if (advance) advance(step + 1);
  }
  const at::NoGradGuard no_grad;
  Projections result;
  result.latents = latents;
  result.images = images_of(latents, target);
  result.distance = (target.images - result.images).square().flatten(1).mean(1);
  if (lpips_) result.lpips = perceived_distance(result.images, target);
  if (!anomaly) return result;
  result.residual = residual(result.images, target);
  result.feature = feature_difference(result.images, target);
  result.anomaly = (1 - options_.lambda) * result.residual + options_.lambda * result.feature;
  return result;
}

}  // namespace ganymede
