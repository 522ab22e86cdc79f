#include "models/gan/regularisers/historical_average.h"

#include <ATen/ATen.h>

namespace ganymede {
namespace {

/// Updates that were not skipped: a float64 scalar beside the weights.
at::Tensor learned_updates(const Player& player) {
  const at::Tensor all = at::full({}, static_cast<double>(player.updates()),
                                  player.gradient_arena().options().dtype(at::kDouble));
  return all - player.guard().skipped();
}

}  // namespace

HistoricalAverage::HistoricalAverage(Player& player, double weight) : player_(player), weight_(weight) {
  if (weight_ == 0) return;
  for (const auto& [name, tensor] : player_.weights(false)) means_.emplace_back(name, at::zeros_like(tensor));
}

void HistoricalAverage::add_gradient() {
  if (weight_ == 0) return;
  const at::NoGradGuard no_grad;
  const at::Tensor pull = learned_updates(player_).gt(0).to(at::kDouble) * (2 * weight_);
  const NamedTensors weights = player_.weights(false), gradients = player_.gradients();
  for (std::size_t i = 0; i < means_.size(); ++i)
    at::Tensor(gradients[i].second).add_((weights[i].second - means_[i].second) * pull);
}

void HistoricalAverage::advance() {
  if (weight_ == 0) return;
  const at::NoGradGuard no_grad;
  const at::Tensor rate = player_.guard().kept() / learned_updates(player_).clamp_min(1);
  const NamedTensors weights = player_.weights(false);
  for (std::size_t i = 0; i < means_.size(); ++i)
    means_[i].second.lerp_(weights[i].second, rate.to(means_[i].second.scalar_type()));
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
