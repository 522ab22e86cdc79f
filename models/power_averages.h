#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/player.h"

namespace ganymede {

/// Moving averages of a player's weights with power functions' profiles (core/power_profile.h), of several widths, that
/// a run keeps for an average of any width to be made of them later. They lie beside the player, whole on every rank,
/// 4 bytes a parameter each in float32, and are the same on all ranks as the weights are. No collective.
class PowerAverages {
 public:
  /// The player must outlive this.
  PowerAverages(const Player& player, const std::vector<double>& widths);
  /// After each of the player's updates; one that was skipped changes nothing.
  void follow();
  /// "<player>/ema_power_<width>/<tensor>": views that copying into restores.
  NamedTensors state() const;

 private:
  struct Average {
    double exponent;
    NamedTensors tensors;
  };
  const Player& player_;
  NamedTensors weights_;
  std::vector<Average> averages_;
};

/// "0.05,0.1" as relative widths, "none" as no width. Throws Error(options) that names `key` for what is no width, a
/// width out of range, or one that comes twice.
std::vector<double> power_widths(const std::string& key, const std::string& text);

/// The width that a kind of tensors, "ema_power_0.05", is named after; nothing for other kinds.
std::optional<double> power_width_of(std::string_view kind);

}  // namespace ganymede
