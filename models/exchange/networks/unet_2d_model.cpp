#include "models/exchange/networks/unet_2d_model.h"

#include <cmath>

#include "core/error.h"
#include "models/diffusion/networks/unet.h"
#include "models/exchange/denoiser_settings.h"
#include "models/exchange/former_names.h"
#include "models/exchange/run_settings.h"

namespace ganymede {
namespace {

using nlohmann::json;

bool has_attention(const UnetOptions& options, std::size_t level) {
  return std::ranges::find(options.attention, options.resolution >> level) != options.attention.end();
}

/// null: one head at each level.
json head_width(const UnetOptions& options) {
  if (options.heads == 0) return options.head_channels > 0 ? json(options.head_channels) : json();
  const std::int64_t width = options.channels.back() / options.heads;  // the middle's
  for (std::size_t i = 0; i < options.channels.size(); ++i)
    if (has_attention(options, i) && options.channels[i] / options.heads != width)
      fail(ExitCode::options,
           "UNet2DModel has attention heads of one width, and unet.heads = {} makes them {} and {} wide",
           options.heads, width, options.channels[i] / options.heads);
  return width;
}

json number_of(double value) {
  return value == std::floor(value) ? json(static_cast<std::int64_t>(value)) : json(value);
}

/// The names of the blocks of one way, by level from the image.
struct BlockNames {
  std::string plain, attention, resampling;
};

const BlockNames down_names{"DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"};
const BlockNames up_names{"UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"};

std::vector<std::string> block_names(const UnetOptions& options, const BlockNames& names) {
  std::vector<std::string> list;
  for (std::size_t i = 0; i < options.channels.size(); ++i)
    list.push_back(has_attention(options, i)     ? names.attention
                   : options.residual_resampling ? names.resampling
                                                 : names.plain);
  return list;
}

/// What a config says of one way: which levels have attention, and whether sizes change in residual blocks (nothing
/// where there is one level).
struct Way {
  std::vector<bool> attention;
  std::optional<bool> residual;
};

/// `key` lists the blocks in their order, `levels` says which level each is of; `type_key` is how those with attention
/// change their size. The innermost does not.
Way way_of(const ConfigReader& config, const std::string& key, const std::string& type_key,
           const BlockNames& names, bool from_image) {
  std::vector<std::string> blocks = config.texts(key);
  if (!from_image) std::ranges::reverse(blocks);
  const bool typed = config.text(type_key, "conv") == "resnet";
  Way way;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const std::string& block = blocks[i];
    if (block != names.plain && block != names.attention && block != names.resampling)
      config.refuse(
          key, fmt::format("blocks may be {}, {} or {}", names.plain, names.attention, names.resampling));
    way.attention.push_back(block == names.attention);
    if (i + 1 == blocks.size()) break;
    const bool residual = block == names.attention ? typed : block == names.resampling;
    if (way.residual.value_or(residual) != residual)
      config.refuse(key, "all sizes change by convolutions, or all in residual blocks");
    way.residual = residual;
  }
  return way;
}

}  // namespace

json unet_2d_config(const Settings& run) {
  const auto o = options_in<UnetOptions>(run);
  const DenoiserShape shape = shape_of_run(run);
  if (const auto text = run.find("diffusion.text");
      o.class_context > 0 || (text != run.end() && text->second.value != "none"))
    fail(ExitCode::options,
         "UNet2DModel attends to nothing but its own maps, and this network to captions or labels: export it "
         "as "
         "--format safetensors");
  if (o.sinusoid_width() != o.channels.front())
    fail(ExitCode::options,
         "UNet2DModel has sinusoids of the time as wide as the first level ({}), and unet.time_channels = {}",
         o.channels.front(), o.time_channels);
  const json labels = o.classes > 1 ? json(o.classes + (shape.without_label ? 1 : 0)) : json();
  std::vector<std::string> up = block_names(o, up_names);
  std::ranges::reverse(up);
  return {{"act_fn", "silu"},
          {"add_attention", true},
          {"attention_head_dim", head_width(o)},
          {"attn_norm_num_groups", o.groups},
          {"block_out_channels", o.channels},
          {"center_input_sample", false},
          {"class_embed_type", nullptr},
          {"down_block_types", block_names(o, down_names)},
          {"downsample_padding", o.symmetric_padding ? 1 : 0},
          {"downsample_type", o.residual_resampling ? "resnet" : "conv"},
          {"dropout", o.dropout},
          {"flip_sin_to_cos", o.cosine_first},
          {"freq_shift", number_of(o.frequency_shift)},
          {"in_channels", o.image_channels + shape.source_channels},
          {"layers_per_block", o.blocks},
          {"mid_block_scale_factor", 1},
          {"mid_block_type", "UNetMidBlock2D"},
          {"norm_eps", o.eps},
          {"norm_num_groups", o.groups},
          {"num_class_embeds", labels},
          {"out_channels", o.image_channels * (shape.learned_variance ? 2 : 1)},
          {"resnet_time_scale_shift", o.scale_shift ? "scale_shift" : "default"},
          {"sample_size", o.resolution},
          {"time_embedding_type", "positional"},
          {"up_block_types", up},
          {"upsample_type", o.residual_resampling ? "resnet" : "conv"}};
}

Settings unet_2d_settings(const ConfigReader& config, bool last_label_is_none) {
  config.require("act_fn", "silu");
  config.require("add_attention", true);
  config.require("center_input_sample", false);
  config.require("mid_block_scale_factor", 1);
  config.require("time_embedding_type", "positional");
  if (config.has("class_embed_type"))
    config.refuse("class_embed_type", "labels are embedded by a table here");
  if (config.is_null("mid_block_type")) config.refuse("mid_block_type", "networks here have a middle");
  config.require("mid_block_type", "UNetMidBlock2D");

  UnetOptions o;
  o.resolution = config.side("sample_size");
  o.image_channels = config.integer("in_channels", 3);
  o.channels = config.integers("block_out_channels");
  o.blocks = config.integer("layers_per_block", 2);
  o.groups = config.integer("norm_num_groups", 32);
  o.eps = config.number("norm_eps", 1e-5);
  o.dropout = config.number("dropout", 0);
  o.head_channels = config.is_null("attention_head_dim") ? 0 : config.integer("attention_head_dim", 8);
  o.symmetric_padding = config.integer("downsample_padding", 1) != 0;
  o.cosine_first = config.flag("flip_sin_to_cos", true);
  o.frequency_shift = config.number("freq_shift", 0);
  o.scale_shift = config.text("resnet_time_scale_shift", "default") == "scale_shift";
  if (!o.scale_shift) config.require("resnet_time_scale_shift", "default");
  if (o.channels.empty() || o.channels.size() > 13)
    config.refuse("block_out_channels", "1 to 13 levels are expected");
  if (config.integer("time_embedding_dim", 4 * o.channels.front()) != 4 * o.channels.front())
    config.refuse("time_embedding_dim", "it is four times as wide as the first level here");
  const std::int64_t middle_groups = config.integer("attn_norm_num_groups", o.scale_shift ? 0 : o.groups);
  if (middle_groups != o.groups)
    config.refuse("attn_norm_num_groups", "attention in the middle has the group norm of all blocks here");

  const Way down = way_of(config, "down_block_types", "downsample_type", down_names, true),
            up = way_of(config, "up_block_types", "upsample_type", up_names, false);
  if (down.attention != up.attention || down.attention.size() != o.channels.size())
    config.refuse("up_block_types", "the way up has attention where the way down has it, one block a level");
  if (down.residual != up.residual)
    config.refuse("upsample_type", "sizes grow as they shrink: by convolutions, or in residual blocks");
  o.residual_resampling = down.residual.value_or(false);
  o.attention.clear();
  for (std::size_t i = 0; i < o.channels.size(); ++i)
    if (down.attention[i]) o.attention.push_back(o.resolution >> i);

  const std::int64_t labels = config.integer("num_class_embeds", 1);
  o.classes = labels - (last_label_is_none && labels > 1 ? 1 : 0);
  Settings settings = settings_of(o);
  settings.merge(shape_settings(config, "out_channels", config.integer("out_channels", 3), o.image_channels,
                                o.classes < labels));
  return settings;
}

NamedTensors unet_2d_to_theirs(const NamedTensors& ours, const json& /*config*/) {
  return ours;
}

NamedTensors unet_2d_to_ours(const NamedTensors& theirs, const ConfigReader& /*config*/) {
  return with_present_names(theirs);
}

}  // namespace ganymede
