#include "models/diffusion/processes/ddpm.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "core/error.h"
#include "models/diffusion/backward_step.h"

namespace ganymede {

void DdpmOptions::describe(OptionSchema& schema) {
  schema.add("ddpm.schedule", schedule.kind, NoiseSchedule::kinds(), "how noise grows");
  schema.add("ddpm.steps", schedule.steps, "steps", {2, 100000}, "times of the chain");
  schema.add("ddpm.beta_first", schedule.beta_first, "", {0, 0.5}, "variance that the first step adds");
  schema.add("ddpm.beta_last", schedule.beta_last, "", {0, 0.9999}, "variance that the last step adds");
  schema.add("ddpm.prediction", prediction, {"eps", "x0", "v"}, "what the network predicts");
  schema.add("ddpm.min_snr", min_snr, "", {0, 1e6}, "gamma of min-SNR weighting, 0 for none");
  schema.add("ddpm.learned_variance", learned_variance,
             "the network also learns the variance of the backward step, by the variational bound");
}

void Ddpm::check() const {
  const NoiseSchedule& schedule = options_.schedule;
  if (schedule.kind != "cosine" && !(schedule.beta_first > 0 && schedule.beta_first <= schedule.beta_last))
    fail(ExitCode::options, "ddpm.beta_first = {} must be above 0 and at most ddpm.beta_last = {}",
         schedule.beta_first, schedule.beta_last);
}

const at::Tensor& Ddpm::alpha_bars() const {
  if (!alpha_bars_.defined()) alpha_bars_ = options_.schedule.alpha_bars();
  return alpha_bars_;
}

at::Tensor Ddpm::times(const at::Tensor& uniform) const {
  const double steps = static_cast<double>(options_.schedule.steps);
  return (uniform * steps).floor().clamp_max(steps - 1);
}

Coefficients Ddpm::coefficients(const at::Tensor& times) const {
  const at::Tensor bar = alpha_bars().index_select(0, times.to(at::kLong));
  const at::Tensor alpha = bar.sqrt(), sigma = (1 - bar).sqrt(), snr = bar / (1 - bar);
  const at::Tensor zero = at::zeros_like(bar), one = at::ones_like(bar);
  const at::Tensor weight_x0 = options_.min_snr > 0 ? snr.clamp_max(options_.min_snr) : snr;
  Coefficients c;
  c.alpha = alpha, c.sigma = sigma, c.scale = one, c.condition = times;
  if (options_.prediction == "eps") {
    c.target_image = zero, c.target_noise = one;
    c.keep = 1 / alpha, c.gain = -sigma / alpha;
    c.weight = weight_x0 / snr;
  } else if (options_.prediction == "x0") {
    c.target_image = one, c.target_noise = zero;
    c.keep = zero, c.gain = one;
    c.weight = options_.min_snr > 0 ? weight_x0 : one;
  } else {
    c.target_image = -sigma, c.target_noise = alpha;
    c.keep = alpha, c.gain = -sigma;
    c.weight = weight_x0 / (snr + 1);
    if (options_.min_snr == 0) c.weight = one;
  }
  return c;
}

at::Tensor Ddpm::path(std::int64_t steps, const std::string& spacing) const {
  const std::int64_t all = options_.schedule.steps;
  if (steps > all)
    fail(ExitCode::options, "sampler.steps = {} are more than the {} times of ddpm.steps", steps, all);
  if (spacing == "leading") return at::arange(steps, at::kDouble).flip(0) * static_cast<double>(all / steps);
  return (static_cast<double>(all) -
          at::arange(steps, at::kDouble) * (static_cast<double>(all) / static_cast<double>(steps)))
             .round() -
         1;
}

namespace {

/// The mean over an image's elements.
at::Tensor per_image_mean(const at::Tensor& x) {
  return x.flatten(1).mean(1);
}

/// -ln p of bytes under a normal of this mean and deviation: the mass of the interval of values that stand for
/// the same byte; the outermost reach to infinity. All in units of [-1, 1].
at::Tensor byte_likelihood(const at::Tensor& x, const at::Tensor& mean, const at::Tensor& deviation) {
  const at::Tensor above = at::special_ndtr((x - mean + 1.0 / 255) / deviation);
  const at::Tensor below = at::special_ndtr((x - mean - 1.0 / 255) / deviation);
  const at::Tensor mass = at::where(x > 0.999, 1 - below, at::where(x < -0.999, above, above - below));
  return -mass.clamp_min(1e-12).log();
}

}  // namespace

at::Tensor Ddpm::bound(const at::Tensor& x0, const at::Tensor& xt, const at::Tensor& estimate,
                       const at::Tensor& v, const at::Tensor& times) const {
  const Coefficients c = coefficients(times);
  const at::Tensor before = (times - 1).clamp_min(0).to(at::kLong), first = times == 0;
  const at::Tensor bar_before = at::where(first, 1.0, alpha_bars().index_select(0, before));
  const BackwardStep step({c.alpha, c.sigma}, {bar_before.sqrt(), (1 - bar_before).sqrt()});
  // The chain's first step has no variance of its own: it takes the second's, as the authors do.
  const at::Tensor second = at::ones({1}, at::kDouble);
  const Coefficients at_second = coefficients(second), at_first = coefficients(second - 1);
  const at::Tensor floor =
      BackwardStep({at_second.alpha, at_second.sigma}, {at_first.alpha, at_first.sigma}).posterior_variance;
  const at::Tensor least = at::where(first, floor, step.posterior_variance).log();
  const at::Tensor most = step.forward_variance.log();

  const at::Tensor part = (v + 1) / 2, low = per_image(least, v), high = per_image(most, v);
  const at::Tensor log_variance = part * high + (1 - part) * low;
  const at::Tensor mean = step.mean(xt, estimate), true_mean = step.mean(xt, x0);
  const at::Tensor divergence = 0.5 * (log_variance - low - 1 + (low - log_variance).exp() +
                                       (true_mean - mean).square() * (-log_variance).exp());
  const at::Tensor likelihood = byte_likelihood(x0, mean, (0.5 * log_variance).exp());
  const at::Tensor is_first = first.to(v.device());
  return at::where(is_first, per_image_mean(likelihood), per_image_mean(divergence)) / std::numbers::ln2;
}

at::Tensor Ddpm::prior_bound(const at::Tensor& x0) const {
  const Coefficients c = coefficients(at::full({1}, static_cast<double>(chain_length() - 1), at::kDouble));
  const at::Tensor variance = per_image(c.sigma.square(), x0), mean = per_image(c.alpha, x0) * x0;
  const at::Tensor divergence = 0.5 * (variance + mean.square() - 1 - variance.log());
  return per_image_mean(divergence) / std::numbers::ln2;
}

std::unique_ptr<DiffusionProcess> make_ddpm() {
  return std::make_unique<Ddpm>();
}

}  // namespace ganymede
