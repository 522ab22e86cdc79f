#include "models/diffusion/networks/unet.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "models/layers/initialise.h"
#include "models/layers/recomputed.h"

namespace ganymede {
namespace {

bool has_attention(const UnetOptions& options, std::int64_t size) {
  return std::ranges::find(options.attention, size) != options.attention.end();
}

BlockOptions block_options(const UnetOptions& options) {
  return {.embedding = 4 * options.sinusoid_width(),
          .groups = options.groups,
          .eps = options.eps,
          .dropout = options.dropout,
          .scale_shift = options.scale_shift};
}

/// At which size each level works.
std::int64_t size_of(const UnetOptions& options, std::size_t level) {
  return options.resolution >> level;
}

}  // namespace

/// The blocks that work at one size on the way down or up, or those in the middle: residual blocks, each
/// perhaps with attention, then a change of size.
class Unet::Level final : public torch::nn::Module {
 public:
  Level() { resnets = register_module("resnets", std::make_shared<ModuleList<ResidualBlock>>()); }
  void add_attention(const std::shared_ptr<AttentionBlock>& block) {
    if (!attentions)
      attentions = register_module("attentions", std::make_shared<ModuleList<AttentionBlock>>());
    attentions->add(block);
  }
  void add_attention(const std::shared_ptr<SpatialTransformer>& block) {
    if (!transformers)
      transformers = register_module("attentions", std::make_shared<ModuleList<SpatialTransformer>>());
    transformers->add(block);
  }
  template <class M>
  void add_resampling(std::shared_ptr<ModuleList<M>>& list, const char* name,
                      const std::shared_ptr<M>& block) {
    list = register_module(name, std::make_shared<ModuleList<M>>());
    list->add(block);
  }
  /// What all blocks are told.
  struct Told {
    at::Tensor emb, context;
    const LayerDraws* draws;
  };
  at::Tensor block(std::size_t i, const std::vector<at::Tensor>& maps, const Told& told) {
    const at::Tensor h = (*resnets)[i].forward(maps, told.emb, told.draws);
    if (transformers && i < transformers->size()) return (*transformers)[i].forward(h, told.context);
    return attentions && i < attentions->size() ? (*attentions)[i].forward(h) : h;
  }
  /// The same of x and of what the way down has kept, if anything; without maps of its own where it will run again.
  at::Tensor block(std::size_t i, const at::Tensor& x, const at::Tensor& kept, const Told& told, bool again) {
    const auto run = [this, i, draws = told.draws ? std::optional(*told.draws) : std::nullopt](
                         const std::vector<at::Tensor>& in) {
      return block(i, maps_of(in[0], in[1]), {in[2], in[3], draws ? &*draws : nullptr});
    };
    const std::vector<at::Tensor> inputs{x, kept, told.emb, told.context};
    return again ? recomputed(run, inputs) : run(inputs);
  }
  bool resamples() const { return downsampler || upsampler || residual_resampler; }
  at::Tensor resample(const at::Tensor& x, const Told& told) {
    if (downsampler) return (*downsampler)[0].forward(x);
    if (upsampler) return (*upsampler)[0].forward(x);
    return (*residual_resampler)[0].forward(x, told.emb, told.draws);
  }

  std::shared_ptr<ModuleList<ResidualBlock>> resnets, residual_resampler;
  std::shared_ptr<ModuleList<AttentionBlock>> attentions;
  std::shared_ptr<ModuleList<SpatialTransformer>> transformers;
  std::shared_ptr<ModuleList<Downsampling>> downsampler;
  std::shared_ptr<ModuleList<Upsampling>> upsampler;
};

void Unet::add_attention(Level& level, std::int64_t channels) const {
  const std::int64_t heads = options_.heads > 0           ? options_.heads
                             : options_.head_channels > 0 ? channels / options_.head_channels
                                                          : 1;
  if (context_width_ > 0)
    level.add_attention(
        std::make_shared<SpatialTransformer>(channels, heads, context_width_, block_options(options_)));
  else
    level.add_attention(std::make_shared<AttentionBlock>(channels, heads, block_options(options_)));
}

Unet::Unet(const UnetOptions& options, const DenoiserShape& shape)
    : options_(options),
      context_width_(shape.text.is_told() ? shape.text.context_width() : options.class_context) {
  const BlockOptions blocks = block_options(options);
  const std::size_t levels = options.channels.size();
  const std::int64_t base = options.channels.front(),
                     labels = options.classes + (shape.without_label ? 1 : 0);
  conv_in_ = register_module(
      "conv_in",
      std::make_shared<Conv2d>(options.image_channels + shape.source_channels, base, 3, WeightOptions{}));
  time_embedding_ = register_module(
      "time_embedding", std::make_shared<TimeEmbedding>(options.sinusoid_width(), blocks.embedding));
  if (options.classes > 1)
    class_embedding_ = register_module(
        "class_embedding",
        std::make_shared<Embedding>(
            labels, options.class_context > 0 ? options.class_context : blocks.embedding, WeightOptions{}));
  if (shape.text.is_told()) text_ = register_module("text", std::make_shared<TextContext>(shape.text));

  std::vector<std::int64_t> kept{base};  // channels of the maps that the way up will see
  std::int64_t in = base;
  down_ = register_module("down_blocks", std::make_shared<ModuleList<Level>>());
  for (std::size_t i = 0; i < levels; ++i) {
    Level& level = *down_->add(std::make_shared<Level>());
    const std::int64_t out = options.channels[i];
    for (std::int64_t j = 0; j < options.blocks; ++j, in = out) {
      level.resnets->add(std::make_shared<ResidualBlock>(in, out, blocks, fmt::format("down{}.{}", i, j)));
      if (has_attention(options, size_of(options, i))) add_attention(level, out);
      kept.push_back(out);
    }
    if (i + 1 == levels) break;
    kept.push_back(out);
    if (options.residual_resampling)
      level.add_resampling(
          level.residual_resampler, "downsamplers",
          std::make_shared<ResidualBlock>(out, out, blocks, fmt::format("down{}", i), SizeChange::down));
    else
      level.add_resampling(level.downsampler, "downsamplers",
                           std::make_shared<Downsampling>(out, options.symmetric_padding));
  }

  mid_ = register_module("mid_block", std::make_shared<Level>());
  mid_->resnets->add(std::make_shared<ResidualBlock>(in, in, blocks, "mid.0"));
  add_attention(*mid_, in);
  mid_->resnets->add(std::make_shared<ResidualBlock>(in, in, blocks, "mid.1"));

  up_ = register_module("up_blocks", std::make_shared<ModuleList<Level>>());
  for (std::size_t i = 0; i < levels; ++i) {
    Level& level = *up_->add(std::make_shared<Level>());
    const std::size_t at_level = levels - 1 - i;
    const std::int64_t out = options.channels[at_level];
    for (std::int64_t j = 0; j <= options.blocks; ++j, in = out) {
      level.resnets->add(
          std::make_shared<ResidualBlock>(in + kept.back(), out, blocks, fmt::format("up{}.{}", i, j)));
      kept.pop_back();
      if (has_attention(options, size_of(options, at_level))) add_attention(level, out);
    }
    if (i + 1 == levels) break;
    if (options.residual_resampling)
      level.add_resampling(
          level.residual_resampler, "upsamplers",
          std::make_shared<ResidualBlock>(out, out, blocks, fmt::format("up{}", i), SizeChange::up));
    else
      level.add_resampling(level.upsampler, "upsamplers", std::make_shared<Upsampling>(out));
  }

  norm_out_ = register_module("conv_norm_out", std::make_shared<GroupNorm>(options.groups, in, options.eps));
  conv_out_ = register_module(
      "conv_out", std::make_shared<Conv2d>(in, options.image_channels * (shape.learned_variance ? 2 : 1), 3,
                                           WeightOptions{}));
}

at::Tensor Unet::context_of(const at::Tensor& labels, const DenoiserContext& context,
                            at::ScalarType maps) const {
  if (text_) return text_->forward(context.text, maps);
  return options_.class_context > 0 ? class_embedding_->forward(labels).to(maps).unsqueeze(1) : at::Tensor();
}

at::Tensor Unet::forward(const at::Tensor& x, const at::Tensor& condition, const at::Tensor& labels,
                         const DenoiserContext& context) {
  const at::ScalarType type = conv_in_->weight().scalar_type();
  const at::ScalarType maps = context.activations.value_or(type);
  at::Tensor emb = time_embedding_->forward(
      sinusoids(condition, {options_.sinusoid_width(), options_.cosine_first, options_.frequency_shift})
          .to(type));
  if (class_embedding_ && options_.class_context == 0) emb = emb + class_embedding_->forward(labels);
  // [N, embedding]: each block sees it through its SiLU.
  const Level::Told told{at::silu(emb), context_of(labels, context, maps), context.layer_draws()};

  const bool again = context.recompute;
  at::Tensor h = conv_in_->forward(x.to(maps, false, false, at::MemoryFormat::ChannelsLast));
  std::vector<at::Tensor> kept{h};
  for (const auto& level : *down_) {
    for (std::size_t j = 0; j < level->resnets->size(); ++j) kept.push_back(h = level->block(j, h, {}, told, again));
    if (level->resamples()) kept.push_back(h = level->resample(h, told));
  }
  h = mid_->block(0, h, {}, told, again);
  h = mid_->block(1, h, {}, told, again);
  for (const auto& level : *up_) {
    for (std::size_t j = 0; j < level->resnets->size(); ++j) {
      h = level->block(j, h, kept.back(), told, again);
      kept.pop_back();
    }
    if (level->resamples()) h = level->resample(h, told);
  }
  return conv_out_->forward(norm_out_->forward_silu(h)).to(type);
}

void Unet::initialise(std::uint64_t seed) {
  ganymede::initialise(*this, "xavier", seed);
  if (text_) text_->initialise(seed);
  const at::NoGradGuard no_grad;
  // What a transformer adds to its map comes out of proj_out alone.
  const char* attention = context_width_ > 0 ? "proj_out.weight" : "to_out.0.weight";
  for (const auto& item : named_parameters()) {
    const std::string& name = item.key();
    if (name.ends_with("conv2.weight") || name.ends_with(attention) || name == "conv_out.weight")
      at::Tensor(item.value()).zero_();
  }
}

void UnetOptions::describe(OptionSchema& schema) {
  schema.add("unet.resolution", resolution, "pixels", {1, 4096}, "width and height");
  schema.add("unet.image_channels", image_channels, "", {1, 1024}, "channels of an image");
  schema.add("unet.classes", classes, "", {1, 1e6}, "number of classes; 1 for an unlabelled dataset");
  schema.add("unet.channels", channels, "", {1, 8192},
             "channels of each level; each but the last halves the size");
  schema.add("unet.time_channels", time_channels, "", {0, 8192},
             "width of the time's sinusoids, 0 for the first of unet.channels");
  schema.add("unet.blocks", blocks, "", {1, 64}, "residual blocks a level");
  schema.add("unet.attention", attention, "pixels", {1, 4096}, "sizes of maps with self-attention");
  schema.add("unet.head_channels", head_channels, "", {0, 8192},
             "channels of an attention head, 0 for one head");
  schema.add("unet.heads", heads, "", {0, 1024}, "attention heads everywhere, 0 for unet.head_channels");
  schema.add("unet.groups", groups, "", {1, 8192}, "groups of group norm");
  schema.add("unet.eps", eps, "", {1e-12, 1}, "epsilon in group norm");
  schema.add("unet.dropout", dropout, "", {0, 0.99}, "dropout in residual blocks");
  schema.add("unet.scale_shift", scale_shift, "time and label scale and shift group norm's result");
  schema.add("unet.residual_resampling", residual_resampling,
             "sizes change in residual blocks, not in single convolutions");
  schema.add("unet.symmetric_padding", symmetric_padding,
             "halving convolutions pad all sides; false: below and to the right");
  schema.add("unet.cosine_first", cosine_first, "cosines before sines in the time's embedding");
  schema.add("unet.frequency_shift", frequency_shift, "", {0, 1},
             "the time's frequencies are 10000^(-k / (width / 2 - this))");
  schema.add("unet.class_context", class_context, "", {0, 65536},
             "width of the label's embedding that maps attend to, 0: it is added to the time's");
}

namespace {

class UnetNetwork final : public DenoiserNetwork {
 public:
  void describe(OptionSchema& schema) override { options_.describe(schema); }
  void check() const override {
    const UnetOptions& o = options_;
    const std::int64_t halvings = std::ssize(o.channels) - 1;
    if (o.channels.empty()) fail(ExitCode::options, "unet.channels is empty: give each level's");
    if (halvings > 12 || o.resolution % (std::int64_t{1} << halvings) != 0)
      fail(ExitCode::options, "unet.resolution = {} cannot be halved {} times: give fewer unet.channels",
           o.resolution, halvings);
    const char* width = o.time_channels > 0 ? "unet.time_channels" : "the first of unet.channels";
    if (o.sinusoid_width() % 2 != 0)
      fail(ExitCode::options, "{} = {} is odd: the time has as many sines as cosines", width, o.sinusoid_width());
    if (o.sinusoid_width() == 2 && o.frequency_shift == 1)
      fail(ExitCode::options, "{} = 2 and unet.frequency_shift = 1 leave no frequency: set the shift to 0, or more channels",
           width);
    if (o.heads > 0 && o.head_channels > 0)
      fail(ExitCode::options, "unet.heads = {} and unet.head_channels = {} both say how many heads there are: set one to 0",
           o.heads, o.head_channels);
    for (const std::int64_t channels : o.channels) {
      if (channels % o.groups != 0)
        fail(ExitCode::options, "unet.channels = {} is not a multiple of unet.groups = {}", channels,
             o.groups);
      const std::int64_t heads = o.heads > 0 ? o.heads : o.head_channels;
      if (heads > 0 && channels % heads != 0)
        fail(ExitCode::options, "unet.channels = {} is not a multiple of {} = {}", channels,
             o.heads > 0 ? "unet.heads" : "unet.head_channels", heads);
    }
    if (o.class_context > 0 && o.classes == 1)
      fail(ExitCode::options,
           "unet.class_context = {}: there is one class, so there is no label to attend to", o.class_context);
    for (const std::int64_t size : o.attention) {
      bool known = false;
      for (std::size_t i = 0; i < o.channels.size(); ++i) known = known || size == size_of(o, i);
      if (!known)
        fail(ExitCode::options, "unet.attention = {} is no size of a map: {} halved up to {} times", size,
             o.resolution, halvings);
    }
  }
  std::shared_ptr<Denoiser> build(const DenoiserShape& shape) const override {
    return std::make_shared<Unet>(options_, shape);
  }
  bool takes_text() const override { return options_.class_context == 0; }
  ImageSpec images() const override {
    return {options_.image_channels, options_.resolution, options_.resolution, options_.classes};
  }

 private:
  UnetOptions options_;
};

}  // namespace

std::unique_ptr<DenoiserNetwork> make_unet() {
  return std::make_unique<UnetNetwork>();
}

}  // namespace ganymede
