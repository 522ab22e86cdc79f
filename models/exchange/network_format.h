#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "core/named_tensors.h"
#include "core/options.h"
#include "models/exchange/config_reader.h"

namespace ganymede {

/// One of this program's networks as diffusers has it: a class with a config.json and named tensors. Each is a file
/// pair in models/exchange/networks and a line in the table.
struct NetworkFormat {
  std::string_view class_name;  ///< "_class_name" in config.json
  std::string_view folder;      ///< within the folder of a pipeline
  std::string_view method;      ///< train.method
  std::string_view choice;      ///< the option that names the network
  std::string_view network;     ///< its value
  std::string_view player;      ///< which of the method's players it is

  /// config.json, without "_class_name", of a run's settings. Throws Error(options) where diffusers has no such
  /// network.
  nlohmann::json (*config)(const Settings& run);
  /// The settings of a run with such a network, all that it decides. With `last_label_is_none` the last of the labels
  /// that the network knows is no class: the file does not tell. Throws Error(checkpoint) where this program has no
  /// such network.
  Settings (*settings)(const ConfigReader& config, bool last_label_is_none);
  /// The network's parameters by their names there, by those here. Throw Error(checkpoint) on what cannot be.
  NamedTensors (*to_theirs)(const NamedTensors& ours, const nlohmann::json& config);
  NamedTensors (*to_ours)(const NamedTensors& theirs, const ConfigReader& config);

  /// Else it is a denoiser.
  bool is_first_stage() const { return method == "autoencoder"; }
};

std::span<const NetworkFormat> network_formats();
/// By the settings of a run. Throws Error(options) that lists what can be exported.
const NetworkFormat& format_of_run(const Settings& run);
/// Of the first stage whose latents a run diffuses; null where it diffuses images.
const NetworkFormat* first_stage_of_run(const Settings& run);
/// By the class that a config.json names. Throws Error(checkpoint) that lists the known ones.
const NetworkFormat& format_of_class(const ConfigReader& config);

}  // namespace ganymede
