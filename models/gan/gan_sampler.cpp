#include "models/gan/gan_sampler.h"

#include <cmath>

#include "core/device.h"
#include "core/metrics/path_length.h"
#include "core/philox.h"
#include "models/gan/style_generator.h"

namespace ganymede {

GanSampler::GanSampler(std::shared_ptr<Generator> network, const SampleOptions& options,
                       const Setting& setting, Communicator& communicator)
    : network_(std::move(network)), options_(options), setting_(setting), alone_(make_single_communicator()) {
  const at::NoGradGuard no_grad;
  network_->begin_phase(false);
  if (options_.batch_norm == "standing") gather_standing_statistics(communicator);
}

at::Tensor GanSampler::latents(std::string_view phase, std::int64_t first, std::int64_t count,
                               at::ScalarType dtype) const {
  const RandomStream random({.seed = options_.seed, .phase = phase, .stream = "z"});
  const std::int64_t width = network_->latent_size();
  if (options_.truncation <= 0) return random.normal(first, count, width, dtype);
  // The inverse of the distribution function, on the part of (0, 1) that lies within the bounds.
  const double low = std::erfc(options_.truncation / std::sqrt(2.0)) / 2;
  const at::Tensor u = random.uniform(first, count, width, at::kDouble) * (1 - 2 * low) + low;
  return at::special_ndtri(u).clamp(-options_.truncation, options_.truncation).to(dtype);
}

at::Tensor GanSampler::forward(std::string_view phase, std::int64_t first, const at::Tensor& z,
                               const at::Tensor& labels, BatchNormMode mode) {
  const std::int64_t count = labels.size(0);
  // In batch mode each run of `batch` images is a group of its own.
  const std::int64_t group = mode == BatchNormMode::running ? count : setting_.batch;
  ForwardContext context{*alone_, {0, count, group}, mode};
  context.noise = NoiseSource{{.seed = options_.seed, .phase = phase}, first};
  const at::Tensor own_z = to_device(z, setting_.device), own_labels = to_device(labels, setting_.device);
  if (options_.psi == 1) return network_->forward(own_z, own_labels, context);
  auto& network = dynamic_cast<StyleGenerator&>(*network_);
  const at::Tensor ws = network.styles(own_z, own_labels, context);
  return network.synthesise(truncated_styles(ws, network.style_mean(), options_.psi), context);
}

void GanSampler::gather_standing_statistics(Communicator& communicator) {
  const Share passes = share_of(setting_.standing_passes, communicator.rank(), communicator.size());
  for (std::int64_t pass = passes.first; pass < passes.first + passes.count; ++pass) {
    if (setting_.alive) setting_.alive("standing statistics");
    const std::int64_t first = pass * setting_.batch;
    const at::Tensor labels = RandomStream({.seed = options_.seed, .phase = "standing", .stream = "label"})
                                  .integers(first, setting_.batch, setting_.classes);
    forward("standing", first, latents("standing", first, setting_.batch, setting_.dtype), labels,
            BatchNormMode::standing);
  }
  at::Tensor sums = network_->standing_sums();
  communicator.all_reduce(sums)->wait();
  network_->adopt_standing(sums, static_cast<double>(setting_.standing_passes));
}

at::Tensor GanSampler::images(std::int64_t first, const at::Tensor& labels) {
  const at::NoGradGuard no_grad;
  return forward("sample", first, latents("sample", first, labels.size(0), setting_.dtype), labels, mode())
      .to(at::kFloat);
}

BatchNormMode GanSampler::mode() const {
  return options_.batch_norm == "batch" ? BatchNormMode::batch : BatchNormMode::running;
}

std::pair<at::Tensor, at::Tensor> GanSampler::path_ends(std::int64_t first, const at::Tensor& labels,
                                                        double step) {
  const at::NoGradGuard no_grad;
  const std::int64_t count = labels.size(0);
  const at::Tensor a = latents("path from", first, count, at::kDouble);
  const at::Tensor b = latents("path to", first, count, at::kDouble);
  const at::Tensor t = RandomStream({.seed = options_.seed, .phase = "path", .stream = "t"})
                           .uniform(first, count, 1, at::kDouble)
                           .flatten();
  const auto end = [&](const at::Tensor& place) {
    return forward("path", first, on_path(a, b, place).to(setting_.dtype), labels, mode()).to(at::kFloat);
  };
  return {end(t), end(t + step)};
}

}  // namespace ganymede
