#include "models/gan/gan_sampler.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/device.h"
#include "core/error.h"
#include "core/metrics/path_length.h"
#include "core/philox.h"

namespace ganymede {

GanSampler::GanSampler(std::shared_ptr<Generator> network, const SampleOptions& options,
                       const Setting& setting, Communicator& communicator)
    : network_(std::move(network)), options_(options), setting_(setting), alone_(make_single_communicator()) {
  const at::NoGradGuard no_grad;
  if (setting_.text && !options_.embeddings)
    fail(ExitCode::options,
         "this run's images follow a text: name a dataset with embeddings by --conditions");
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

at::Tensor GanSampler::coded(std::string_view phase, std::int64_t first, const at::Tensor& z) const {
  return setting_.codes.drawn(z,
                              {{.seed = options_.seed, .phase = phase}, first, z.size(0), z.scalar_type()});
}

at::Tensor GanSampler::forward(std::string_view phase, std::int64_t first, const at::Tensor& z,
                               const at::Tensor& labels, BatchNormMode mode) {
  const std::int64_t count = labels.size(0);
  // In batch mode each run of `batch` images is a group of its own.
  const std::int64_t group = mode == BatchNormMode::running ? count : setting_.batch;
  ForwardContext context{*alone_, {0, count, group}, mode};
  context.fade = setting_.fade;
  context.noise = NoiseSource{{.seed = options_.seed, .phase = phase}, first};
  return run(z, condition(first, labels), context);
}

at::Tensor GanSampler::condition(std::int64_t first, const at::Tensor& labels) const {
  return setting_.text ? options_.embeddings(first, labels.size(0)).to(setting_.dtype) : labels;
}

at::Tensor GanSampler::run(const at::Tensor& z, const at::Tensor& labels, const ForwardContext& context) {
  if (options_.psi != 1) return finished(styled().synthesise(styles(z, labels, context), context));
  return finished(
      network_->forward(to_device(z, setting_.device), to_device(labels, setting_.device), context));
}

at::Tensor GanSampler::styles(const at::Tensor& z, const at::Tensor& labels, const ForwardContext& context) {
  const at::Tensor ws =
      styled().styles(to_device(z, setting_.device), to_device(labels, setting_.device), context);
  return truncated_styles(ws, styled().style_mean(), options_.psi);
}

at::Tensor GanSampler::finished(const at::Tensor& images) const {
  if (setting_.enlarge == 1) return images.to(at::kFloat);
  const std::int64_t size[] = {images.size(2) * setting_.enlarge, images.size(3) * setting_.enlarge};
  return at::upsample_nearest2d(images.to(at::kFloat), size);
}

void GanSampler::gather_standing_statistics(Communicator& communicator) {
  const Share passes = share_of(setting_.standing_passes, communicator.rank(), communicator.size());
  for (std::int64_t pass = passes.first; pass < passes.first + passes.count; ++pass) {
    if (setting_.alive) setting_.alive("standing statistics");
    const std::int64_t first = pass * setting_.batch;
    const at::Tensor labels = RandomStream({.seed = options_.seed, .phase = "standing", .stream = "label"})
                                  .integers(first, setting_.batch, setting_.classes);
    const at::Tensor z = latents("standing", first, setting_.batch, setting_.dtype);
    forward("standing", first, coded("standing", first, z), labels, BatchNormMode::standing);
  }
  at::Tensor sums = network_->standing_sums();
  communicator.all_reduce(sums)->wait();
  network_->adopt_standing(sums, static_cast<double>(setting_.standing_passes));
}

at::Tensor GanSampler::images(std::int64_t first, const at::Tensor& labels) {
  const at::NoGradGuard no_grad;
  const at::Tensor z = latents("sample", first, labels.size(0), setting_.dtype);
  return forward("sample", first, coded("sample", first, z), labels, mode());
}

std::vector<std::int64_t> GanSampler::codes() const {
  std::vector<std::int64_t> codes = setting_.codes.categories;
  codes.resize(codes.size() + static_cast<std::size_t>(setting_.codes.continuous), 0);
  return codes;
}

at::Tensor GanSampler::images_with_code(std::int64_t first, const at::Tensor& labels, std::int64_t code,
                                        const at::Tensor& values) {
  const at::NoGradGuard no_grad;
  const at::Tensor z = coded("sample", first, latents("sample", first, labels.size(0), setting_.dtype));
  return forward("sample", first, setting_.codes.chosen(z, code, values), labels, mode());
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
    const at::Tensor z = coded("path", first, on_path(a, b, place).to(setting_.dtype));
    return forward("path", first, z, labels, mode());
  };
  return {end(t), end(t + step)};
}

ForwardContext GanSampler::context_of(std::int64_t count) {
  ForwardContext context{*alone_, {0, count, count}, BatchNormMode::running};
  context.fade = setting_.fade;
  return context;
}

StyleGenerator& GanSampler::styled() {
  return dynamic_cast<StyleGenerator&>(*network_);
}

at::Tensor GanSampler::latents(std::int64_t first, std::int64_t count) const {
  return coded("sample", first, latents("sample", first, count, at::kDouble));
}

at::Tensor GanSampler::images_of(const at::Tensor& latents, const at::Tensor& labels) {
  const at::NoGradGuard no_grad;
  return run(latents.to(setting_.dtype), condition(0, labels), context_of(labels.size(0)));
}

std::int64_t GanSampler::style_layers() {
  if (!dynamic_cast<StyleGenerator*>(network_.get())) return 0;
  return styles_of(latents(0, 1), at::zeros({1}, at::kLong)).size(1);
}

at::Tensor GanSampler::styles_of(const at::Tensor& latents, const at::Tensor& labels) {
  const at::NoGradGuard no_grad;
  return styles(latents.to(setting_.dtype), labels, context_of(labels.size(0)));
}

at::Tensor GanSampler::images_of_styles(const at::Tensor& styles) {
  const at::NoGradGuard no_grad;
  return finished(styled().synthesise(styles, context_of(styles.size(0))));
}

}  // namespace ganymede
