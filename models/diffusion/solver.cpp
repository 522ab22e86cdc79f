#include "models/diffusion/solver.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <cmath>

#include "core/error.h"
#include "models/diffusion/process.h"

namespace ganymede {

NoiseLevel PathPoint::level() const {
  return {at::full({1}, alpha, at::kDouble), at::full({1}, sigma, at::kDouble)};
}

namespace {

/// What is left of the noise between two points if x_0 is `image`.
at::Tensor transfer(const at::Tensor& x, const at::Tensor& image, const PathPoint& from,
                    const PathPoint& to) {
  const double ratio = to.sigma / from.sigma;
  return ratio * x + (to.alpha - from.alpha * ratio) * image;
}

at::Tensor noise_in(const at::Tensor& x, const at::Tensor& image, const PathPoint& point) {
  return (x - point.alpha * image) / point.sigma;
}

class DdpmSolver final : public Solver {
 public:
  explicit DdpmSolver(const SolverOptions& options) : large_(options.variance == "large") {}
  at::Tensor step(const at::Tensor& x, const PathPoint& from, const PathPoint& to, const Denoise& denoise,
                  const Noise& noise) override {
    const Denoised d = denoise(x, from);
    const BackwardStep backward(from.level(), to.level());
    at::Tensor mean = backward.mean(x, d.pull.defined() ? d.unpulled : d.image);
    // Nor has a step noise that leads to where it began, of which not even the logarithm is there.
    if (to.sigma == 0 || to.sigma == from.sigma) return mean;
    const at::Tensor small = backward.posterior_variance, large = backward.forward_variance;
    at::Tensor deviation = per_image((large_ ? large : small).sqrt(), x);
    if (d.variance.defined()) {
      const at::Tensor part = (d.variance + 1) / 2;
      deviation = (0.5 * (part * per_image(large.log(), x) + (1 - part) * per_image(small.log(), x))).exp();
    }
    if (d.pull.defined()) mean = mean + deviation.square() * d.pull;
    return mean + deviation * noise();
  }

 private:
  bool large_;
};

class Ddim final : public Solver {
 public:
  explicit Ddim(const SolverOptions& options) : eta_(options.eta) {}
  at::Tensor step(const at::Tensor& x, const PathPoint& from, const PathPoint& to, const Denoise& denoise,
                  const Noise& noise) override {
    const at::Tensor image = denoise(x, from).image;
    if (eta_ == 0 || to.sigma == 0) return transfer(x, image, from, to);
    const double variance =
        eta_ * eta_ * BackwardStep(from.level(), to.level()).posterior_variance.item<double>();
    return to.alpha * image +
           std::sqrt(std::max(to.sigma * to.sigma - variance, 0.0)) * noise_in(x, image, from) +
           std::sqrt(variance) * noise();
  }

 private:
  double eta_;
};

class Euler final : public Solver {
 public:
  at::Tensor step(const at::Tensor& x, const PathPoint& from, const PathPoint& to, const Denoise& denoise,
                  const Noise&) override {
    return transfer(x, denoise(x, from).image, from, to);
  }
};

class Heun final : public Solver {
 public:
  at::Tensor step(const at::Tensor& x, const PathPoint& from, const PathPoint& to, const Denoise& denoise,
                  const Noise&) override {
    const at::Tensor image = denoise(x, from).image, noise = noise_in(x, image, from);
    const at::Tensor guess = transfer(x, image, from, to);
    if (to.sigma == 0) return guess;
    const at::Tensor next = denoise(guess, to).image;
    return x + (to.alpha - from.alpha) / 2 * (image + next) +
           (to.sigma - from.sigma) / 2 * (noise + noise_in(guess, next, to));
  }
};

class DpmSolver2M final : public Solver {
 public:
  at::Tensor step(const at::Tensor& x, const PathPoint& from, const PathPoint& to, const Denoise& denoise,
                  const Noise&) override {
    const at::Tensor image = denoise(x, from).image;
    const double width = log_ratio(to) - log_ratio(from);
    at::Tensor blend = image;
    if (last_image_.defined() && to.sigma > 0) {
      const double slope = width / (2 * last_width_);  // 1 / (2 r)
      blend = image + slope * (image - last_image_);
    }
    last_image_ = image;
    last_width_ = width;
    return transfer(x, blend, from, to);
  }

 private:
  /// lambda, half the logarithm of the signal-to-noise ratio.
  static double log_ratio(const PathPoint& point) { return std::log(point.alpha / point.sigma); }

  at::Tensor last_image_;
  double last_width_ = 0;
};

struct Entry {
  const char* name;
  std::unique_ptr<Solver> (*make)(const SolverOptions& options);
};

// One line a solver.
constexpr Entry table[] = {
    {"ddpm",
     [](const SolverOptions& o) -> std::unique_ptr<Solver> { return std::make_unique<DdpmSolver>(o); }},
    {"ddim", [](const SolverOptions& o) -> std::unique_ptr<Solver> { return std::make_unique<Ddim>(o); }},
    {"dpm++2m",
     [](const SolverOptions&) -> std::unique_ptr<Solver> { return std::make_unique<DpmSolver2M>(); }},
    {"euler", [](const SolverOptions&) -> std::unique_ptr<Solver> { return std::make_unique<Euler>(); }},
    {"heun", [](const SolverOptions&) -> std::unique_ptr<Solver> { return std::make_unique<Heun>(); }},
};

}  // namespace

std::vector<std::string> solver_names() {
  std::vector<std::string> names;
  for (const Entry& entry : table) names.emplace_back(entry.name);
  return names;
}

std::unique_ptr<Solver> make_solver(const std::string& name, const SolverOptions& options) {
  for (const Entry& entry : table)
    if (name == entry.name) return entry.make(options);
  fail(ExitCode::options, "sampler.solver = '{}' is not known: give one of {}", name,
       fmt::join(solver_names(), ", "));
}

}  // namespace ganymede
