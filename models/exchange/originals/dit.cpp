#include "models/exchange/originals/dit.h"

#include <ATen/ATen.h>

namespace ganymede {
namespace {

constexpr std::pair<std::string_view, std::string_view> beginnings[] = {
    {"x_embedder.proj.", "pos_embed.proj."},
    {"t_embedder.mlp.0.", "time_embedder.linear_1."},
    {"t_embedder.mlp.2.", "time_embedder.linear_2."},
    {"y_embedder.", "class_embedder."},
    {"final_layer.adaLN_modulation.1.", "proj_out_1."},
    {"final_layer.linear.", "proj_out_2."},
    {"blocks.", "transformer_blocks."},
};

constexpr std::pair<std::string_view, std::string_view> parts_of_block[] = {
    {".adaLN_modulation.1.", ".norm1.linear."},
    {".attn.proj.", ".attn1.to_out.0."},
    {".mlp.fc1.", ".ff.net.0.proj."},
    {".mlp.fc2.", ".ff.net.2."},
};

std::string our_name(std::string name) {
  for (const auto& [theirs, ours] : beginnings)
    if (name.starts_with(theirs)) {
      name.replace(0, theirs.size(), ours);
      break;
    }
  for (const auto& [theirs, ours] : parts_of_block)
    if (const std::size_t place = name.find(theirs); place != name.npos)
      name.replace(place, theirs.size(), ours);
  return name;
}

}  // namespace

Settings original_dit_settings() {
  return {{"dit.frequency_shift", {"0", "DiT"}}};
}

NamedTensors original_dit_to_ours(const NamedTensors& theirs, const Settings& /*run*/,
                                  const OriginalLayout& /*layout*/) {
  constexpr std::string_view fused = ".attn.qkv.";
  NamedTensors ours;
  for (const auto& [name, tensor] : theirs) {
    if (name == "pos_embed") continue;
    const std::string own = our_name(name);
    const std::size_t place = own.find(fused);
    if (place == own.npos) {
      ours.emplace_back(own, tensor);
      continue;
    }
    const auto parts = tensor.chunk(3, 0);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      constexpr std::string_view maps[] = {".attn1.to_q.", ".attn1.to_k.", ".attn1.to_v."};
      ours.emplace_back(std::string(own).replace(place, fused.size(), maps[i]), parts[i].contiguous());
    }
  }
  return ours;
}

}  // namespace ganymede
