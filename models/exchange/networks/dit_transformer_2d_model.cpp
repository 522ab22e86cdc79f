#include "models/exchange/networks/dit_transformer_2d_model.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "models/diffusion/networks/dit.h"
#include "models/exchange/denoiser_settings.h"
#include "models/exchange/run_settings.h"

namespace ganymede {
namespace {

using nlohmann::json;

constexpr std::string_view our_time = "time_embedder.", our_label = "class_embedder.";
constexpr std::string_view their_time = "timestep_embedder.";

std::string embedder_of_block(std::int64_t block) {
  return fmt::format("transformer_blocks.{}.norm1.emb.", block);
}

const at::Tensor* find(const NamedTensors& tensors, std::string_view wanted) {
  for (const auto& [name, tensor] : tensors)
    if (name == wanted) return &tensor;
  return nullptr;
}

}  // namespace

json dit_2d_config(const Settings& run) {
  const auto o = options_in<DitOptions>(run);
  if (o.frequency_shift != 1)
    fail(ExitCode::options, "DiTTransformer2DModel takes dit.frequency_shift = 1, and this run has {}",
         o.frequency_shift);
  if (o.mlp_ratio != 4)
    fail(ExitCode::options, "DiTTransformer2DModel takes dit.mlp_ratio = 4, and this run has {}",
         o.mlp_ratio);
  const DenoiserShape shape = shape_of_run(run);
  return {{"activation_fn", "gelu-approximate"},
          {"attention_bias", true},
          {"attention_head_dim", o.width / o.heads},
          {"dropout", 0.0},
          {"in_channels", o.image_channels + shape.source_channels},
          {"norm_elementwise_affine", false},
          {"norm_eps", o.mlp_norm_eps},
          {"norm_num_groups", 32},
          {"norm_type", "ada_norm_zero"},
          {"num_attention_heads", o.heads},
          {"num_embeds_ada_norm", o.classes},
          {"num_layers", o.depth},
          {"out_channels", o.image_channels * (shape.learned_variance ? 2 : 1)},
          {"patch_size", o.patch},
          {"sample_size", o.resolution},
          {"upcast_attention", false}};
}

Settings dit_2d_settings(const ConfigReader& config, bool /*last_label_is_none*/) {
  config.require("activation_fn", "gelu-approximate");
  config.require("attention_bias", true);
  config.require("dropout", 0);
  config.require("norm_elementwise_affine", false);
  config.require("norm_type", "ada_norm_zero");
  // Transformer2DModel was the class of others too.
  if (config.class_name() != "DiTTransformer2DModel" && !config.has("norm_type"))
    config.refuse("norm_type", "ada_norm_zero is expected of a DiT");
  DitOptions o;
  o.resolution = config.integer("sample_size", 32);
  o.image_channels = config.integer("in_channels", 4);
  o.classes = config.integer("num_embeds_ada_norm", 1000);
  o.patch = config.integer("patch_size", 2);
  o.depth = config.integer("num_layers", 28);
  o.heads = config.integer("num_attention_heads", 16);
  o.width = o.heads * config.integer("attention_head_dim", 72);
  o.mlp_norm_eps = config.number("norm_eps", 1e-5);
  Settings settings = settings_of(o);
  settings.merge(shape_settings(config, "out_channels", config.integer("out_channels", o.image_channels),
                                o.image_channels, o.classes > 1));
  return settings;
}

NamedTensors dit_2d_to_theirs(const NamedTensors& ours, const json& config) {
  const auto depth = config.at("num_layers").get<std::int64_t>(),
             labels = config.at("num_embeds_ada_norm").get<std::int64_t>() + 1;
  NamedTensors theirs;
  const auto add_to_blocks = [&](const std::string& name, const at::Tensor& tensor) {
    for (std::int64_t i = 0; i < depth; ++i) theirs.emplace_back(embedder_of_block(i) + name, tensor);
  };
  at::Tensor table;
  std::int64_t width = 0;
  for (const auto& [name, tensor] : ours) {
    if (name == "positions") continue;
    if (name == "pos_embed.proj.bias") width = tensor.size(0);
    if (name.starts_with(our_time))
      add_to_blocks(std::string(their_time) + name.substr(our_time.size()), tensor);
    else if (name.starts_with(our_label))
      table = tensor;
    else
      theirs.emplace_back(name, tensor);
  }
  if (!table.defined()) table = at::zeros({0, width});
  if (table.size(0) < labels)
    table = at::cat({table, table.new_zeros({labels - table.size(0), table.size(1)})});
  add_to_blocks(std::string(our_label) + "embedding_table.weight", table);
  return theirs;
}

NamedTensors dit_2d_to_ours(const NamedTensors& theirs, const ConfigReader& config) {
  const std::string first = embedder_of_block(0);
  const bool classes = config.integer("num_embeds_ada_norm", 1000) > 1;
  NamedTensors ours;
  for (const auto& [name, tensor] : theirs) {
    const std::size_t place = name.find(".norm1.emb.");
    if (place == name.npos) {
      ours.emplace_back(name, tensor);
      continue;
    }
    const std::string rest = name.substr(place + std::string_view(".norm1.emb.").size());
    const at::Tensor* reference = find(theirs, first + rest);
    if (!reference || !at::equal(*reference, tensor))
      fail(ExitCode::checkpoint,
           "{}: {} differs from the first block's: its blocks have learned embedders of their own, and ours "
           "share one",
           config.where(), name);
    if (!name.starts_with(first)) continue;
    if (rest.starts_with(their_time))
      ours.emplace_back(std::string(our_time) + rest.substr(their_time.size()), tensor);
    else if (classes)
      ours.emplace_back(rest, tensor);
  }
  if (classes) return ours;
  // The embedding of the only class is a constant beside the time's.
  const at::Tensor* table = find(theirs, first + std::string(our_label) + "embedding_table.weight");
  for (auto& [name, tensor] : ours)
    if (table && name == std::string(our_time) + "linear_2.bias") tensor = tensor + table->select(0, 0);
  return ours;
}

}  // namespace ganymede
