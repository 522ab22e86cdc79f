#include "models/diffusion/networks/dit.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "models/layers/adaptive_layer_norm.h"
#include "models/layers/gelu.h"
#include "models/layers/initialise.h"
#include "models/layers/multi_head_attention.h"
#include "models/layers/recomputed.h"
#include "models/layers/sinusoids.h"

namespace ganymede {
namespace {

constexpr std::int64_t sinusoid_width = 256;
constexpr double norm_eps = 1e-6;

}  // namespace

/// patch x patch pixels to a token: "proj".
class Dit::PatchEmbedding final : public torch::nn::Module {
 public:
  PatchEmbedding(std::int64_t channels, std::int64_t width, std::int64_t patch) : patch_(patch) {
    proj_ = register_module("proj", std::make_shared<Conv2d>(channels, width, patch, WeightOptions{}));
  }
  at::Tensor forward(const at::Tensor& x) {
    return proj_->forward_strided(x, patch_, 0).permute({0, 2, 3, 1}).flatten(1, 2);  // [N, L, width]
  }

 private:
  std::int64_t patch_;
  std::shared_ptr<Conv2d> proj_;
};

class Dit::LabelEmbedding final : public torch::nn::Module {
 public:
  LabelEmbedding(std::int64_t labels, std::int64_t width) {
    table_ = register_module("embedding_table", std::make_shared<Embedding>(labels, width, WeightOptions{}));
  }
  at::Tensor forward(const at::Tensor& labels) { return table_->forward(labels); }

 private:
  std::shared_ptr<Embedding> table_;
};

class Dit::Block final : public torch::nn::Module {
 public:
  Block(std::int64_t width, std::int64_t heads, std::int64_t hidden, double mlp_norm_eps)
      : mlp_norm_eps_(mlp_norm_eps) {
    modulation_ = std::make_shared<Linear>(width, 6 * width, WeightOptions{});
    widen_ = std::make_shared<Linear>(width, hidden, WeightOptions{});
    narrow_ = std::make_shared<Linear>(hidden, width, WeightOptions{});
    group("norm1")->register_module("linear", modulation_);
    attention_ = register_module("attn1", std::make_shared<MultiHeadAttention>(width, heads));
    const auto mlp = std::make_shared<torch::nn::Module>();
    group("ff")->register_module("net", mlp);
    const auto first = std::make_shared<torch::nn::Module>();
    mlp->register_module("0", first)->register_module("proj", widen_);
    mlp->register_module("2", narrow_);
  }
  /// c [N, width], through its SiLU.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& c) {
    const auto m = modulation_->forward(c).chunk(6, 1);
    const at::Tensor h = gated_sum(x, m[2], attention_->forward(adaptive_layer_norm(x, m[1], m[0], norm_eps)));
    const at::Tensor wide = gelu_tanh(widen_->forward(adaptive_layer_norm(h, m[4], m[3], mlp_norm_eps_)));
    return gated_sum(h, m[5], narrow_->forward(wide));
  }

 private:
  /// A module that only lends its name to those within.
  std::shared_ptr<torch::nn::Module> group(const char* name) {
    return register_module(name, std::make_shared<torch::nn::Module>());
  }

  double mlp_norm_eps_;
  std::shared_ptr<MultiHeadAttention> attention_;
  std::shared_ptr<Linear> modulation_, widen_, narrow_;
};

Dit::Dit(const DitOptions& options, const DenoiserShape& shape)
    : options_(options), out_channels_(options.image_channels * (shape.learned_variance ? 2 : 1)) {
  const std::int64_t width = options.width, side = options.resolution / options.patch;
  patches_ =
      std::make_shared<PatchEmbedding>(options.image_channels + shape.source_channels, width, options.patch);
  register_module("pos_embed", patches_);
  positions_ = register_buffer("positions", grid_sinusoids(side, width).to(at::kFloat));
  time_ = register_module("time_embedder", std::make_shared<TimeEmbedding>(sinusoid_width, width));
  if (options.classes > 1) {
    label_ = std::make_shared<LabelEmbedding>(options.classes + (shape.without_label ? 1 : 0), width);
    register_module("class_embedder", label_);
  }
  blocks_ = register_module("transformer_blocks", std::make_shared<ModuleList<Block>>());
  const auto hidden = static_cast<std::int64_t>(static_cast<double>(width) * options.mlp_ratio);
  for (std::int64_t i = 0; i < options.depth; ++i)
    blocks_->add(std::make_shared<Block>(width, options.heads, hidden, options.mlp_norm_eps));
  modulation_ = register_module("proj_out_1", std::make_shared<Linear>(width, 2 * width, WeightOptions{}));
  out_ = register_module(
      "proj_out_2",
      std::make_shared<Linear>(width, options.patch * options.patch * out_channels_, WeightOptions{}));
}

/// [N, L, p p C], a token's pixels row by row with channels last, as [N, C, H, W].
at::Tensor Dit::image_of(const at::Tensor& tokens) const {
  const std::int64_t p = options_.patch, side = options_.resolution / p, n = tokens.size(0);
  return tokens.reshape({n, side, side, p, p, out_channels_})
      .permute({0, 5, 1, 3, 2, 4})
      .reshape({n, out_channels_, side * p, side * p});
}

at::Tensor Dit::forward(const at::Tensor& x, const at::Tensor& condition, const at::Tensor& labels,
                        const DenoiserContext& context) {
  const at::ScalarType type = out_->weight().scalar_type();
  const at::ScalarType maps = context.activations.value_or(type);
  const at::Tensor waves = sinusoids(condition, {sinusoid_width, true, options_.frequency_shift});
  at::Tensor c = time_->forward(waves.to(type));
  if (label_) c = c + label_->forward(labels);
  c = at::silu(c);
  at::Tensor h =
      patches_->forward(x.to(maps, false, false, at::MemoryFormat::ChannelsLast)) + positions_.to(maps);
  for (const auto& block : *blocks_) {
    const auto run = [kept = block.get()](const std::vector<at::Tensor>& in) { return kept->forward(in[0], in[1]); };
    h = context.recompute ? recomputed(run, {h, c}) : run({h, c});
  }
  const auto last = modulation_->forward(c).chunk(2, 1);
  return image_of(out_->forward(adaptive_layer_norm(h, last[1], last[0], norm_eps))).to(type);
}

void Dit::initialise(std::uint64_t seed) {
  ganymede::initialise(*this, "xavier", seed);
  ganymede::initialise(*time_, "n02", seed);
  if (label_) ganymede::initialise(*label_, "n02", seed);
  const at::NoGradGuard no_grad;
  for (const auto& item : named_parameters()) {
    const std::string& name = item.key();
    if (name.ends_with("norm1.linear.weight") || name == "proj_out_1.weight" || name == "proj_out_2.weight")
      at::Tensor(item.value()).zero_();
  }
}

void DitOptions::describe(OptionSchema& schema) {
  schema.add("dit.resolution", resolution, "pixels", {1, 4096}, "width and height");
  schema.add("dit.image_channels", image_channels, "", {1, 1024}, "channels of an image");
  schema.add("dit.classes", classes, "", {1, 1e6}, "number of classes; 1 for an unlabelled dataset");
  schema.add("dit.patch", patch, "pixels", {1, 64}, "width and height of a token");
  schema.add("dit.depth", depth, "", {1, 1024}, "blocks");
  schema.add("dit.width", width, "", {4, 65536}, "width of a token");
  schema.add("dit.heads", heads, "", {1, 1024}, "attention heads");
  schema.add("dit.mlp_ratio", mlp_ratio, "", {0.1, 64}, "width within the blocks' maps over dit.width");
  schema.add("dit.frequency_shift", frequency_shift, "", {0, 1},
             "the time's frequencies are 10000^(-k / (128 - this)): 1 as diffusers, 0 as the authors");
  schema.add("dit.mlp_norm_eps", mlp_norm_eps, "", {1e-12, 1},
             "epsilon of the norm before each block's maps");
}

namespace {

class DitNetwork final : public DenoiserNetwork {
 public:
  void describe(OptionSchema& schema) override { options_.describe(schema); }
  void check() const override {
    const DitOptions& o = options_;
    if (o.resolution % o.patch != 0)
      fail(ExitCode::options, "dit.patch = {} does not divide dit.resolution = {}", o.patch, o.resolution);
    if (o.width % o.heads != 0 || o.width % 4 != 0)
      fail(ExitCode::options, "dit.width = {} must be a multiple of 4 and of dit.heads = {}", o.width,
           o.heads);
  }
  std::shared_ptr<Denoiser> build(const DenoiserShape& shape) const override {
    return std::make_shared<Dit>(options_, shape);
  }
  ImageSpec images() const override {
    return {options_.image_channels, options_.resolution, options_.resolution, options_.classes};
  }

 private:
  DitOptions options_;
};

}  // namespace

std::unique_ptr<DenoiserNetwork> make_dit() {
  return std::make_unique<DitNetwork>();
}

}  // namespace ganymede
