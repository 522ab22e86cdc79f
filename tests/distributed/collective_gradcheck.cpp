#include "tests/distributed/collective_gradcheck.h"

#include <torch/csrc/autograd/autograd.h>

#include "core/philox.h"

namespace ganymede::test {
namespace {

// Balances the truncation error, of order step^2, against the rounding error, of order 1e-16 / step.
constexpr double step = 1e-5;

double loss_at(const LossPart& part, const std::vector<at::Tensor>& inputs) {
  return sum_over_ranks(part(inputs).item<double>());
}

/// d loss / d element, where the element is `mine` on the rank that owns it and undefined on the others.
double central_difference(const LossPart& part, const std::vector<at::Tensor>& inputs, at::Tensor mine) {
  const double value = mine.defined() ? mine.item<double>() : 0;
  if (mine.defined()) mine.fill_(value + step);
  const double above = loss_at(part, inputs);
  if (mine.defined()) mine.fill_(value - step);
  const double below = loss_at(part, inputs);
  if (mine.defined()) mine.fill_(value);
  return (above - below) / (2 * step);
}

double largest(double mine) {
  at::Tensor value = at::full({}, mine, at::kDouble);
  world().all_reduce(value, Reduction::max)->wait();
  return value.item<double>();
}

}  // namespace

double gradient_error(const LossPart& part, const std::vector<at::Tensor>& inputs) {
  const std::vector<at::Tensor> gradients = torch::autograd::grad({part(inputs)}, inputs);
  double error = 0, scale = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const at::Tensor flat = inputs[i].detach().view(-1), gradient = gradients[i].reshape(-1);
    for (int owner = 0; owner < world().size(); ++owner) {
      at::Tensor count = at::full({}, flat.numel(), at::kLong);
      world().broadcast(count, owner)->wait();
      const bool own = world().rank() == owner;
      for (std::int64_t k = 0; k < count.item<std::int64_t>(); ++k) {
        const double numeric = central_difference(part, inputs, own ? flat[k] : at::Tensor());
        if (!own) continue;
        const double analytic = gradient[k].item<double>();
        error = std::max(error, std::abs(analytic - numeric));
        scale = std::max(scale, std::abs(numeric));
      }
    }
  }
  return largest(error) / largest(scale);
}

double second_gradient_error(const LossPart& part, const std::vector<at::Tensor>& inputs) {
  std::vector<at::Tensor> directions;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const RandomStream random({.seed = i, .phase = "directions"});
    directions.push_back(random.normal(world().rank(), 1, inputs[i].numel(), at::kDouble)
                             .view(inputs[i].sizes())
                             .to(inputs[i].device()));
  }
  const LossPart slope = [&](const std::vector<at::Tensor>& at) {
    const auto gradients = torch::autograd::grad({part(at)}, at, {}, true, /*create_graph=*/true);
    at::Tensor sum = at::zeros({}, at.front().options());
    for (std::size_t i = 0; i < at.size(); ++i) sum = sum + (gradients[i] * directions[i]).sum();
    return sum;
  };
  return gradient_error(slope, inputs);
}

}  // namespace ganymede::test
