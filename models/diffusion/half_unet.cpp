#include "models/diffusion/half_unet.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/error.h"
#include "core/philox.h"
#include "models/layers/initialise.h"
#include "models/layers/sinusoids.h"

namespace ganymede {

/// [N, C, H, W] -> [N, classes].
class HalfUnet::AttentionPool final : public torch::nn::Module {
 public:
  AttentionPool(std::int64_t places, std::int64_t channels, std::int64_t heads, std::int64_t classes)
      : heads_(heads) {
    positions_ = register_parameter("positions", at::zeros({places + 1, channels}));
    q_ = register_module("to_q", std::make_shared<Linear>(channels, channels, WeightOptions{}));
    k_ = register_module("to_k", std::make_shared<Linear>(channels, channels, WeightOptions{}));
    v_ = register_module("to_v", std::make_shared<Linear>(channels, channels, WeightOptions{}));
    out_ = register_module("to_out", std::make_shared<Linear>(channels, classes, WeightOptions{}));
  }
  at::Tensor forward(const at::Tensor& map) {
    const at::Tensor places = map.permute({0, 2, 3, 1}).flatten(1, 2);
    const at::Tensor tokens = at::cat({places.mean(1, /*keepdim=*/true), places}, 1) + positions_;
    const auto heads = [&](const at::Tensor& y) { return y.unflatten(-1, {heads_, -1}).transpose(1, 2); };
    const at::Tensor y = at::scaled_dot_product_attention(heads(q_->forward(tokens.narrow(1, 0, 1))),
                                                          heads(k_->forward(tokens)),
                                                          heads(v_->forward(tokens)));  // [N, heads, 1, d]
    return out_->forward(y.flatten(1));
  }
  void draw_positions(std::uint64_t seed) {
    const RandomStream random({.seed = seed, .phase = "initialise", .layer = "pool", .stream = "positions"});
    const std::int64_t rows = positions_.size(0), width = positions_.size(1);
    positions_.copy_(random.normal(0, rows, width, at::kDouble) / std::sqrt(static_cast<double>(width)));
  }

 private:
  std::int64_t heads_;
  at::Tensor positions_;
  std::shared_ptr<Linear> q_, k_, v_, out_;
};

HalfUnet::HalfUnet(const HalfUnetOptions& options) : options_(options) {
  const BlockOptions blocks{.embedding = 4 * options.sinusoid_width(),
                            .groups = options.groups,
                            .eps = options.eps,
                            .dropout = options.dropout,
                            .scale_shift = true};
  const auto heads = [&](std::int64_t channels) { return channels / options.head_channels; };
  std::int64_t in = options.channels.front(), size = options.resolution;
  conv_in_ =
      register_module("conv_in", std::make_shared<Conv2d>(options.image_channels, in, 3, WeightOptions{}));
  time_embedding_ = register_module(
      "time_embedding", std::make_shared<TimeEmbedding>(options.sinusoid_width(), blocks.embedding));
  stages_ = register_module("stages", std::make_shared<ModuleList<ResidualStage>>());
  const auto add = [&](std::int64_t out, bool attends, SizeChange change = SizeChange::none) {
    const std::string name = fmt::format("stage{}", stages_->size());
    ResidualStage& stage = *stages_->add(std::make_shared<ResidualStage>(in, out, blocks, name, change));
    if (attends) stage.add_attention(out, heads(out), blocks);
    in = out;
  };
  for (std::size_t i = 0; i < options.channels.size(); ++i) {
    const bool attends = std::ranges::find(options.attention, size) != options.attention.end();
    for (std::int64_t j = 0; j < options.blocks; ++j) add(options.channels[i], attends);
    if (i + 1 == options.channels.size()) break;
    add(in, false, SizeChange::down);
    size /= 2;
  }
  add(in, true);
  add(in, false);
  norm_out_ = register_module("norm_out", std::make_shared<GroupNorm>(options.groups, in, options.eps));
  pool_ =
      register_module("pool", std::make_shared<AttentionPool>(size * size, in, heads(in), options.classes));
}

at::Tensor HalfUnet::forward(const at::Tensor& x, const at::Tensor& condition,
                             const DenoiserContext& context) {
  const at::ScalarType type = conv_in_->weight().scalar_type();
  const at::Tensor waves =
      sinusoids(condition, {.width = options_.sinusoid_width(), .cosine_first = true, .frequency_shift = 0});
  const at::Tensor emb = at::silu(time_embedding_->forward(waves.to(type)));
  at::Tensor h = conv_in_->forward(
      x.to(context.activations.value_or(type), false, false, at::MemoryFormat::ChannelsLast));
  for (const auto& stage : *stages_) h = stage->forward({h}, emb, context.layer_draws());
  return pool_->forward(at::silu(norm_out_->forward(h)).to(type));
}

void HalfUnet::initialise(std::uint64_t seed) {
  ganymede::initialise(*this, "xavier", seed);
  const at::NoGradGuard no_grad;
  pool_->draw_positions(seed);
  for (const auto& item : named_parameters()) {
    const std::string& name = item.key();
    if (name.ends_with("conv2.weight") || name.ends_with("to_out.0.weight")) at::Tensor(item.value()).zero_();
  }
}

void HalfUnetOptions::describe(OptionSchema& schema) {
  schema.add("half_unet.resolution", resolution, "pixels", {1, 4096}, "width and height");
  schema.add("half_unet.image_channels", image_channels, "", {1, 1024}, "channels of an image");
  schema.add("half_unet.classes", classes, "", {2, 1e6}, "number of classes");
  schema.add("half_unet.channels", channels, "", {1, 8192},
             "channels of each level; each but the last halves the size");
  schema.add("half_unet.time_channels", time_channels, "", {0, 8192},
             "width of the time's sinusoids, 0 for the first of half_unet.channels");
  schema.add("half_unet.blocks", blocks, "", {1, 64}, "residual blocks a level");
  schema.add("half_unet.attention", attention, "pixels", {1, 4096}, "sizes of maps with self-attention");
  schema.add("half_unet.head_channels", head_channels, "", {1, 8192}, "channels of an attention head");
  schema.add("half_unet.groups", groups, "", {1, 8192}, "groups of group norm");
  schema.add("half_unet.eps", eps, "", {1e-12, 1}, "epsilon in group norm");
  schema.add("half_unet.dropout", dropout, "", {0, 0.99}, "dropout in residual blocks");
}

void HalfUnetOptions::check() const {
  const std::int64_t halvings = std::ssize(channels) - 1;
  if (channels.empty()) fail(ExitCode::options, "half_unet.channels is empty: give each level's");
  if (halvings > 12 || resolution % (std::int64_t{1} << halvings) != 0)
    fail(ExitCode::options,
         "half_unet.resolution = {} cannot be halved {} times: give fewer half_unet.channels", resolution,
         halvings);
  if (sinusoid_width() % 2 != 0)
    fail(ExitCode::options, "{} = {} is odd: the time has as many sines as cosines",
         time_channels > 0 ? "half_unet.time_channels" : "the first of half_unet.channels", sinusoid_width());
  for (std::size_t i = 0; i < channels.size(); ++i) {
    if (channels[i] % groups != 0)
      fail(ExitCode::options, "half_unet.channels = {} is not a multiple of half_unet.groups = {}",
           channels[i], groups);
    const bool attends =
        i + 1 == channels.size() || std::ranges::find(attention, resolution >> i) != attention.end();
    if (attends && channels[i] % head_channels != 0)
      fail(ExitCode::options, "half_unet.channels = {} is not a multiple of half_unet.head_channels = {}",
           channels[i], head_channels);
  }
  for (const std::int64_t size : attention) {
    bool known = false;
    for (std::size_t i = 0; i < channels.size(); ++i) known = known || size == resolution >> i;
    if (!known)
      fail(ExitCode::options, "half_unet.attention = {} is no size of a map: {} halved up to {} times", size,
           resolution, halvings);
  }
}

}  // namespace ganymede
