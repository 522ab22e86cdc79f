#include "models/exchange/first_stage_settings.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "models/exchange/former_names.h"
#include "models/exchange/run_settings.h"

namespace ganymede {
namespace {

using nlohmann::json;

constexpr double only_eps = 1e-6;

/// The names of the blocks of one way.
struct BlockNames {
  std::string plain, attention;
};

const BlockNames down_names{"DownEncoderBlock2D", "AttnDownEncoderBlock2D"};
const BlockNames up_names{"UpDecoderBlock2D", "AttnUpDecoderBlock2D"};

std::vector<std::string> block_names(const CoderOptions& coder, const BlockNames& names) {
  std::vector<std::string> list;
  for (std::size_t i = 0; i < coder.channels.size(); ++i) {
    const bool attends = std::ranges::find(coder.attention, coder.resolution >> i) != coder.attention.end();
    list.push_back(attends ? names.attention : names.plain);
  }
  return list;
}

/// Which levels have attention, in the order of the list.
std::vector<bool> attention_of(const ConfigReader& config, const std::string& key, const BlockNames& names) {
  std::vector<bool> attention;
  for (const std::string& block : config.texts(key)) {
    if (block != names.plain && block != names.attention)
      config.refuse(key, fmt::format("blocks may be {} or {}", names.plain, names.attention));
    attention.push_back(block == names.attention);
  }
  return attention;
}

void add_copy(NamedTensors& tensors, const std::string& name, std::int64_t channels, at::IntArrayRef kernel) {
  std::vector<std::int64_t> shape{channels, channels};
  shape.insert(shape.end(), kernel.begin(), kernel.end());
  tensors.emplace_back(name + ".weight", at::eye(channels).view(shape));
  tensors.emplace_back(name + ".bias", at::zeros({channels}));
}

/// Attention whose last map is zero.
void add_idle_attention(NamedTensors& tensors, const std::string& name, std::int64_t channels) {
  tensors.emplace_back(name + ".group_norm.weight", at::ones({channels}));
  tensors.emplace_back(name + ".group_norm.bias", at::zeros({channels}));
  for (const char* map : {".to_q", ".to_k", ".to_v"}) add_copy(tensors, name + map, channels, {});
  tensors.emplace_back(name + ".to_out.0.weight", at::zeros({channels, channels}));
  tensors.emplace_back(name + ".to_out.0.bias", at::zeros({channels}));
}

}  // namespace

json first_stage_config(const AutoencoderOptions& options) {
  const CoderOptions& coder = options.coder;
  if (coder.eps != only_eps)
    fail(ExitCode::options, "diffusers' autoencoders take first_stage.eps = {}, and this run has {}",
         only_eps, coder.eps);
  std::vector<std::string> up = block_names(coder, up_names);
  std::ranges::reverse(up);
  return {{"act_fn", "silu"},
          {"block_out_channels", coder.channels},
          {"down_block_types", block_names(coder, down_names)},
          {"in_channels", coder.image_channels},
          {"latent_channels", options.latent_channels},
          {"layers_per_block", coder.blocks},
          {"mid_block_add_attention", true},
          {"norm_num_groups", coder.groups},
          {"out_channels", coder.image_channels},
          {"sample_size", coder.resolution},
          {"scaling_factor", 1.0},
          {"up_block_types", up}};
}

AutoencoderOptions first_stage_options(const ConfigReader& config, std::int64_t latent_channels) {
  config.require("act_fn", "silu");
  AutoencoderOptions options;
  CoderOptions& coder = options.coder;
  options.latent_channels = config.integer("latent_channels", latent_channels);
  coder.resolution = config.has("sample_size") ? config.side("sample_size") : 32;
  coder.image_channels = config.integer("in_channels", 3);
  if (config.integer("out_channels", 3) != coder.image_channels)
    config.refuse("out_channels", "a reconstruction has the channels of its image here");
  coder.channels = config.integers("block_out_channels");
  if (coder.channels.empty() || coder.channels.size() > 13)
    config.refuse("block_out_channels", "1 to 13 levels are expected");
  coder.blocks = config.integer("layers_per_block", 1);
  coder.groups = config.integer("norm_num_groups", 32);
  coder.eps = only_eps;
  const std::vector<bool> down = attention_of(config, "down_block_types", down_names);
  std::vector<bool> up = attention_of(config, "up_block_types", up_names);
  std::reverse(up.begin(), up.end());
  if (down.size() != coder.channels.size())
    config.refuse("down_block_types", "one block a level is expected, as block_out_channels has them");
  if (up != down)
    config.refuse("up_block_types", "the decoder has attention where the encoder has it, one block a level");
  for (std::size_t i = 0; i < down.size(); ++i)
    if (down[i]) coder.attention.push_back(coder.resolution >> i);
  return options;
}

Settings settings_of_first_stage(const AutoencoderOptions& options, const ConfigReader& config) {
  Settings settings = settings_of(options);
  settings["train.method"] = {"autoencoder", config.where()};
  return settings;
}

NamedTensors first_stage_to_ours(const NamedTensors& theirs, const ConfigReader& config) {
  NamedTensors ours = with_present_names(theirs);
  const std::int64_t z = config.integer("latent_channels", 4);
  if (!config.flag("use_quant_conv", true)) add_copy(ours, "quant_conv", 2 * z, {1, 1});
  if (!config.flag("use_post_quant_conv", true)) add_copy(ours, "post_quant_conv", z, {1, 1});
  if (!config.flag("mid_block_add_attention", true))
    for (const char* coder : {"encoder", "decoder"})
      add_idle_attention(ours, std::string(coder) + ".mid_block.attentions.0",
                         config.integers("block_out_channels").back());
  return ours;
}

}  // namespace ganymede
