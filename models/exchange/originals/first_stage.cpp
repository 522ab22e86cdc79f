#include "models/exchange/originals/first_stage.h"

#include <ATen/ATen.h>

#include <map>

#include "core/error.h"
#include "models/exchange/run_settings.h"
#include "models/first_stages/autoencoder.h"

namespace ganymede {
namespace {

constexpr std::string_view attention_name = ".attentions.";

/// Their modules and ours, each by the beginning of its tensors' names.
std::map<std::string, std::string> modules_of(const AutoencoderOptions& options) {
  std::map<std::string, std::string> modules{{"quant_conv.", "quant_conv."},
                                             {"post_quant_conv.", "post_quant_conv."},
                                             {"quantize.embedding.", "quantize.embedding."}};
  for (const std::string coder : {"encoder.", "decoder."})
    for (const auto& [theirs, ours] : {std::pair{"conv_in.", "conv_in."},
                                       {"mid.block_1.", "mid_block.resnets.0."},
                                       {"mid.attn_1.", "mid_block.attentions.0."},
                                       {"mid.block_2.", "mid_block.resnets.1."},
                                       {"norm_out.", "conv_norm_out."},
                                       {"conv_out.", "conv_out."}})
      modules[coder + theirs] = coder + ours;
  const auto levels = std::ssize(options.coder.channels);
  for (std::int64_t i = 0; i < levels; ++i) {
    const std::string down = fmt::format("encoder.down.{}.", i),
                      our_down = fmt::format("encoder.down_blocks.{}.", i);
    const std::string up = fmt::format("decoder.up.{}.", i),
                      our_up = fmt::format("decoder.up_blocks.{}.", levels - 1 - i);
    modules[down + "downsample."] = our_down + "downsamplers.0.";
    modules[up + "upsample."] = our_up + "upsamplers.0.";
    for (std::int64_t j = 0; j <= options.coder.blocks; ++j)
      for (const auto& [theirs, ours] : {std::pair{down, our_down}, {up, our_up}}) {
        modules[fmt::format("{}block.{}.", theirs, j)] = fmt::format("{}resnets.{}.", ours, j);
        modules[fmt::format("{}attn.{}.", theirs, j)] = fmt::format("{}attentions.{}.", ours, j);
      }
  }
  return modules;
}

// Within a block or attention; what is not here has the same name.
constexpr std::pair<std::string_view, std::string_view> parts[] = {
    {"nin_shortcut.", "conv_shortcut."},
    {"norm.", "group_norm."},
    {"q.", "to_q."},
    {"k.", "to_k."},
    {"v.", "to_v."},
    {"proj_out.", "to_out.0."},
};

/// The name here of one there, or nothing.
std::string our_name(const std::string& name, const std::map<std::string, std::string>& modules) {
  for (const auto& [theirs, ours] : modules) {
    if (!name.starts_with(theirs)) continue;
    const std::string rest = name.substr(theirs.size());
    for (const auto& [before, now] : parts)
      if (rest.starts_with(before)) return ours + std::string(now) + rest.substr(before.size());
    return ours + rest;
  }
  return "";
}

}  // namespace

Settings original_first_stage_settings() {
  return {};
}

NamedTensors original_first_stage_to_ours(const NamedTensors& theirs, const Settings& run,
                                          const OriginalLayout& /*layout*/) {
  const auto modules = modules_of(options_in<AutoencoderOptions>(run));
  NamedTensors ours;
  for (const auto& [name, tensor] : theirs) {
    if (name.starts_with("loss.") || name.starts_with("model_ema.")) continue;
    const std::string own = our_name(name, modules);
    if (own.empty())
      fail(ExitCode::checkpoint,
           "{} has no place in the recipe's autoencoder: are levels and blocks its own?", name);
    // Attention's maps are 1x1 convolutions there.
    const bool is_map = tensor.dim() == 4 && own.find(attention_name) != own.npos;
    ours.emplace_back(own, is_map ? tensor.flatten(1) : tensor);
  }
  return ours;
}

}  // namespace ganymede
