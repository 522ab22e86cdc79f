#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/named_tensors.h"
#include "core/options.h"

namespace ganymede {

/// What a file of weights in the names of a network's authors does not tell.
struct OriginalLayout {
  /// Attention's fused maps hold q, k and v of a head beside each other, head after head; else all of q, all of k, all
  /// of v.
  bool heads_apart = true;
};

/// Weights as the authors of a network saved them: names, and no options, which a recipe gives. Each is a file pair in
/// models/exchange/originals and a line in the table.
struct OriginalFormat {
  std::string_view name;
  std::string_view landmark;  ///< a tensor that every such network has, and no other
  std::string_view method;    ///< train.method
  std::string_view choice;    ///< the option that names the network
  std::string_view network;   ///< its value
  std::string_view player;    ///< which of the method's players it is
  std::string_view beside;    ///< a tensor of its own that its authors keep apart, at the file's root; may be missing

  /// What all such networks have in common, and this program's not by themselves.
  Settings (*settings)();
  /// The parameters by this program's names. Throws Error(checkpoint) on what has no place.
  NamedTensors (*to_ours)(const NamedTensors& theirs, const Settings& run, const OriginalLayout& layout);
};

std::span<const OriginalFormat> original_formats();

/// Where in a file a network's tensors are: names that begin with `prefix`, and go on as the authors' do.
struct OriginalWeights {
  OriginalFormat format;
  std::vector<std::pair<std::string, std::string>> names;  ///< in the file, and the authors'
};

/// Finds a known network of a method among the names of a file's tensors, alone or within a training checkpoint
/// ("model.", "ema.", "state_dict.model.diffusion_model.", "first_stage_model.", ...). With `average` a moving average,
/// where there is one: "ema.", or the one of latent diffusion, "model_ema.", whose names have lost their dots. Throws
/// Error(checkpoint), which begins with `where`.
OriginalWeights find_original(const std::vector<std::string>& names, std::string_view method, bool average,
                              const std::string& where);

}  // namespace ganymede
