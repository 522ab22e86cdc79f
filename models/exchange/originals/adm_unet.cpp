#include "models/exchange/originals/adm_unet.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "core/error.h"
#include "models/diffusion/networks/unet.h"
#include "models/exchange/run_settings.h"

namespace ganymede {
namespace {

/// Their modules and ours, each by the beginning of its tensors' names.
using Modules = std::map<std::string, std::string>;

std::int64_t heads_of(const UnetOptions& options, std::int64_t channels) {
  return options.heads > 0 ? options.heads : options.head_channels > 0 ? channels / options.head_channels : 1;
}

Modules modules_of(const UnetOptions& o) {
  Modules modules{{"time_embed.0", "time_embedding.linear_1"},
                  {"time_embed.2", "time_embedding.linear_2"},
                  {"label_emb", "class_embedding"},
                  {"cond_stage_model.embedding", "class_embedding"},
                  {"input_blocks.0.0", "conv_in"},
                  {"middle_block.0", "mid_block.resnets.0"},
                  {"middle_block.1", "mid_block.attentions.0"},
                  {"middle_block.2", "mid_block.resnets.1"},
                  {"out.0", "conv_norm_out"},
                  {"out.2", "conv_out"}};
  const std::size_t levels = o.channels.size();
  const auto attends = [&](std::size_t level) {
    return std::ranges::find(o.attention, o.resolution >> level) != o.attention.end();
  };
  const std::string resampling = o.residual_resampling ? "" : ".conv";
  std::int64_t block = 1;
  for (std::size_t i = 0; i < levels; ++i) {
    for (std::int64_t j = 0; j < o.blocks; ++j, ++block) {
      modules[fmt::format("input_blocks.{}.0", block)] = fmt::format("down_blocks.{}.resnets.{}", i, j);
      if (attends(i))
        modules[fmt::format("input_blocks.{}.1", block)] = fmt::format("down_blocks.{}.attentions.{}", i, j);
    }
    if (i + 1 < levels)
      modules[fmt::format("input_blocks.{}.0{}", block++, o.residual_resampling ? "" : ".op")] =
          fmt::format("down_blocks.{}.downsamplers.0{}", i, resampling);
  }
  block = 0;
  for (std::size_t i = 0; i < levels; ++i)
    for (std::int64_t j = 0; j <= o.blocks; ++j, ++block) {
      const bool attention = attends(levels - 1 - i);
      modules[fmt::format("output_blocks.{}.0", block)] = fmt::format("up_blocks.{}.resnets.{}", i, j);
      if (attention)
        modules[fmt::format("output_blocks.{}.1", block)] = fmt::format("up_blocks.{}.attentions.{}", i, j);
      if (j == o.blocks && i + 1 < levels)
        modules[fmt::format("output_blocks.{}.{}{}", block, attention ? 2 : 1, resampling)] =
            fmt::format("up_blocks.{}.upsamplers.0{}", i, resampling);
    }
  return modules;
}

// What a module is made of; a convolution alone is nothing but itself.
constexpr std::pair<std::string_view, std::string_view> parts_of_module[] = {
    {".in_layers.0", ".norm1"},
    {".in_layers.2", ".conv1"},
    {".emb_layers.1", ".time_emb_proj"},
    {".out_layers.0", ".norm2"},
    {".out_layers.3", ".conv2"},
    {".skip_connection", ".conv_shortcut"},
    {".norm", ".group_norm"},
    {".proj_out", ".to_out.0"},
    {".qkv", ".qkv"},
    {"", ""},
};

/// The name here of one there, or nothing. Transformers' parts, where maps attend to labels, have the same names.
std::string our_name(const std::string& name, const Modules& modules, bool transformers) {
  if (transformers)
    for (const auto& [theirs, ours] : modules)
      if (ours.find(".attentions.") != ours.npos && name.starts_with(theirs + ".")) return ours + name.substr(theirs.size());
  const std::size_t dot = name.rfind('.');
  const std::string stem = name.substr(0, dot), kind = name.substr(std::min(dot, name.size()));
  for (const auto& [theirs, ours] : parts_of_module) {
    if (!stem.ends_with(theirs)) continue;
    const auto module = modules.find(stem.substr(0, stem.size() - theirs.size()));
    if (module != modules.end()) return module->second + std::string(ours) + kind;
  }
  return "";
}

}  // namespace

Settings original_adm_unet_settings() {
  return {{"unet.cosine_first", {"true", "ADM"}}, {"unet.frequency_shift", {"0", "ADM"}}};
}

NamedTensors original_adm_unet_to_ours(const NamedTensors& theirs, const Settings& run,
                                       const OriginalLayout& layout) {
  const auto options = options_in<UnetOptions>(run);
  const Modules modules = modules_of(options);
  if (options.class_context == 0 && std::ranges::any_of(theirs, [](const auto& item) {
        return item.first.find(".transformer_blocks.") != std::string::npos;
      }))
    fail(ExitCode::checkpoint,
         "its maps attend to what they are told, and the recipe's do not: give one with unet.class_context for labels, "
         "ldm4-imagenet say; by these names networks that follow captions are not known");
  constexpr std::string_view fused = ".qkv.";
  NamedTensors ours;
  for (const auto& [name, tensor] : theirs) {
    const std::string own = our_name(name, modules, options.class_context > 0);
    if (own.empty())
      fail(ExitCode::checkpoint,
           "{} has no place in the recipe's network: are levels, blocks and attention its own?", name);
    // Attention's maps are convolutions over one dimension there.
    const at::Tensor weight = tensor.dim() == 3 ? tensor.squeeze(2) : tensor;
    const std::size_t place = own.find(fused);
    if (place == own.npos) {
      ours.emplace_back(own, weight);
      continue;
    }
    const std::int64_t channels = weight.size(0) / 3, heads = heads_of(options, channels);
    // [heads, 3, width, ...] or [3, heads, width, ...]
    const at::Tensor parts = layout.heads_apart ? weight.unflatten(0, {heads, 3, -1}).transpose(0, 1)
                                                : weight.unflatten(0, {3, heads, -1});
    constexpr std::string_view maps[] = {".to_q.", ".to_k.", ".to_v."};
    for (std::int64_t i = 0; i < 3; ++i)
      ours.emplace_back(std::string(own).replace(place, fused.size(), maps[i]),
                        parts.select(0, i).flatten(0, 1).contiguous());
  }
  return ours;
}

}  // namespace ganymede
