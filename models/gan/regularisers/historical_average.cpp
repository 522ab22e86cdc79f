#include "models/gan/regularisers/historical_average.h"

namespace ganymede {

HistoricalAverage::HistoricalAverage(Player& player, double weight) : player_(player), weight_(weight) {
  if (weight_ == 0) return;
  for (const auto& [name, tensor] : player_.weights(false)) means_.emplace_back(name, at::zeros_like(tensor));
}

void HistoricalAverage::add_gradient() {
  if (weight_ == 0 || player_.updates() == 0) return;
  const at::NoGradGuard no_grad;
  const NamedTensors weights = player_.weights(false), gradients = player_.gradients();
  for (std::size_t i = 0; i < means_.size(); ++i)
    at::Tensor(gradients[i].second).add_(weights[i].second - means_[i].second, 2 * weight_);
}

void HistoricalAverage::advance() {
  if (weight_ == 0) return;
  const at::NoGradGuard no_grad;
  const NamedTensors weights = player_.weights(false);
  for (std::size_t i = 0; i < means_.size(); ++i)
    means_[i].second.lerp_(weights[i].second, 1.0 / static_cast<double>(player_.updates()));
}

void HistoricalAverage::reset() {
  for (auto& [name, mean] : means_) mean.zero_();
}

NamedTensors HistoricalAverage::state() const {
  NamedTensors state;
  for (const auto& [name, mean] : means_)
    state.emplace_back(fmt::format("{}/history/{}", player_.name(), name), mean);
  return state;
}

}  // namespace ganymede
