#include "models/power_averages.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <sstream>

#include "core/error.h"
#include "core/power_profile.h"

namespace ganymede {
namespace {

constexpr std::string_view kind_prefix = "ema_power_";

}  // namespace

PowerAverages::PowerAverages(const Player& player, const std::vector<double>& widths)
    : player_(player), weights_(player.weights(false)) {
  for (const double width : widths) {
    Average average{power_exponent(width), {}};
    for (const auto& [name, weight] : weights_)
      average.tensors.emplace_back(fmt::format("{}/{}{}/{}", player.name(), kind_prefix, width, name),
                                   at::zeros_like(weight));
    averages_.push_back(std::move(average));
  }
}

void PowerAverages::follow() {
  const at::NoGradGuard no_grad;
  for (const Average& average : averages_) {
    const at::Tensor rest = player_.guard().kept() * (1 - power_decay(average.exponent, player_.updates()));
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      const at::Tensor& tensor = average.tensors[i].second;
      tensor.lerp_(weights_[i].second, rest.to(tensor.scalar_type()));
    }
  }
}

NamedTensors PowerAverages::state() const {
  NamedTensors state;
  for (const Average& average : averages_)
    state.insert(state.end(), average.tensors.begin(), average.tensors.end());
  return state;
}

std::vector<double> power_widths(const std::string& key, const std::string& text) {
  std::vector<double> widths;
  if (text == "none") return widths;
  std::istringstream items(text);
  for (std::string item; std::getline(items, item, ',');) {
    item.erase(0, item.find_first_not_of(' '));
    item.erase(item.find_last_not_of(' ') + 1);
    const double width = parse_number(key, {item, text});
    if (width < narrowest_power_profile || width > widest_power_profile)
      fail(ExitCode::options, "{} = {}: a relative width is in [{}, {}]", key, text, narrowest_power_profile,
           widest_power_profile);
    if (std::ranges::find(widths, width) != widths.end())
      fail(ExitCode::options, "{} = {}: the width {} comes twice", key, text, width);
    widths.push_back(width);
  }
  return widths;
}

std::optional<double> power_width_of(std::string_view kind) {
  if (!kind.starts_with(kind_prefix)) return {};
  const std::string kind_text(kind);
  return parse_number(kind_text, {kind_text.substr(kind_prefix.size()), "checkpoint"});
}

}  // namespace ganymede
