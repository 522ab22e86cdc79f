#include "models/diffusion/networks/ddpmpp.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "core/error.h"
#include "models/layers/initialise.h"
#include "models/layers/recomputed.h"
#include "models/layers/sinusoids.h"

namespace ganymede {

Ddpmpp::Ddpmpp(const DdpmppOptions& options, const DenoiserShape& shape) : options_(options) {
  const BlockOptions blocks{.embedding = 4 * options.base,
                            .groups = options.groups,
                            .eps = options.eps,
                            .dropout = options.dropout,
                            .sum_scale = 1 / std::numbers::sqrt2,
                            .resampled_shortcut = true};
  conv_in_ = register_module("conv_in", std::make_shared<Conv2d>(options.image_channels + shape.source_channels,
                                                                 options.base, 3, WeightOptions{}));
  time_embedding_ =
      register_module("time_embedding", std::make_shared<TimeEmbedding>(options.base, blocks.embedding));
  if (options.classes > 1)
    class_embedding_ = register_module(
        "class_embedding", std::make_shared<Linear>(options.classes, options.base, WeightOptions{}));
  if (shape.augmentation > 0)
    augmentation_ = register_module("augmentation", std::make_shared<Linear>(shape.augmentation, options.base,
                                                                             WeightOptions{.bias = false}));
  const auto add = [&](const Stages& stages, const char* way, std::int64_t in, std::int64_t out, bool attends,
                       SizeChange change = SizeChange::none) {
    const std::string name = fmt::format("{}.{}", way, stages->size());
    ResidualStage& stage = *stages->add(std::make_shared<ResidualStage>(in, out, blocks, name, change));
    if (attends) stage.add_attention(out, 1, blocks);
  };
  const auto attends_at = [&](std::size_t level) {
    return std::ranges::find(options.attention, options.resolution >> level) != options.attention.end();
  };

  const std::size_t levels = options.channels.size();
  std::int64_t in = options.base;
  std::vector<std::int64_t> kept{in};  // channels of the maps that the way up will see
  down_ = register_module("down_blocks", std::make_shared<ModuleList<ResidualStage>>());
  for (std::size_t level = 0; level < levels; ++level) {
    if (level > 0) {
      add(down_, "down", in, in, false, SizeChange::down);
      kept.push_back(in);
    }
    for (std::int64_t j = 0; j < options.blocks; ++j) {
      add(down_, "down", in, options.channels[level], attends_at(level));
      kept.push_back(in = options.channels[level]);
    }
  }
  mid_ = register_module("mid_block", std::make_shared<ModuleList<ResidualStage>>());
  add(mid_, "mid", in, in, true);
  add(mid_, "mid", in, in, false);
  up_ = register_module("up_blocks", std::make_shared<ModuleList<ResidualStage>>());
  for (std::size_t level = levels; level-- > 0;) {
    for (std::int64_t j = 0; j <= options.blocks; ++j) {
      add(up_, "up", in + kept.back(), options.channels[level], j == options.blocks && attends_at(level));
      in = options.channels[level];
      kept.pop_back();
    }
    if (level > 0) add(up_, "up", in, in, false, SizeChange::up);
  }
  norm_out_ = register_module("conv_norm_out", std::make_shared<GroupNorm>(options.groups, in, options.eps));
  conv_out_ = register_module(
      "conv_out",
      std::make_shared<Conv2d>(in, options.image_channels * (shape.learned_variance ? 2 : 1), 3, WeightOptions{}));
}

at::Tensor Ddpmpp::known(const at::Tensor& condition, const at::Tensor& labels,
                         const DenoiserContext& context) const {
  const at::ScalarType type = conv_in_->weight().scalar_type();
  at::Tensor known = sinusoids(condition, {.width = options_.base}).to(type);
  if (class_embedding_) {
    // The label after the last, which stands for none, is a row of zeros.
    const at::Tensor chosen = at::one_hot(labels, options_.classes + 1).narrow(1, 0, options_.classes);
    known = known + class_embedding_->forward(chosen.to(type) * std::sqrt(static_cast<double>(options_.classes)));
  }
  if (augmentation_ && context.augmentation.defined())
    known = known + augmentation_->forward(context.augmentation.to(type));
  return known;
}

bool Ddpmpp::resamples(std::size_t i) const {
  const auto of_level = static_cast<std::size_t>(options_.blocks) + 2;
  return i % of_level == of_level - 1;
}

at::Tensor Ddpmpp::forward(const at::Tensor& x, const at::Tensor& condition, const at::Tensor& labels,
                           const DenoiserContext& context) {
  const at::ScalarType type = conv_in_->weight().scalar_type();
  const at::Tensor emb = at::silu(time_embedding_->forward(known(condition, labels, context)));
  const auto run = [&](ResidualStage& stage, const at::Tensor& h, const at::Tensor& beside) {
    const auto block = [&stage, draws = context.draws](const std::vector<at::Tensor>& in) {
      return stage.forward(maps_of(in[0], in[1]), in[2], draws ? &*draws : nullptr);
    };
    const std::vector<at::Tensor> inputs{h, beside, emb};
    return context.recompute ? recomputed(block, inputs) : block(inputs);
  };

  at::Tensor h = conv_in_->forward(
      x.to(context.activations.value_or(type), false, false, at::MemoryFormat::ChannelsLast));
  std::vector<at::Tensor> kept{h};
  for (const auto& stage : *down_) kept.push_back(h = run(*stage, h, {}));
  for (const auto& stage : *mid_) h = run(*stage, h, {});
  for (std::size_t i = 0; i < up_->size(); ++i) {
    if (resamples(i)) {
      h = run((*up_)[i], h, {});
    } else {
      h = run((*up_)[i], h, kept.back());
      kept.pop_back();
    }
  }
  return conv_out_->forward(norm_out_->forward_silu(h)).to(type);
}

void Ddpmpp::initialise(std::uint64_t seed) {
  ganymede::initialise(*this, "xavier", seed);
  const at::NoGradGuard no_grad;
  for (const auto& item : named_parameters()) {
    const std::string& name = item.key();
    at::Tensor parameter = item.value();
    if (name.ends_with("conv2.weight") || name.ends_with("to_out.0.weight") || name == "conv_out.weight")
      parameter.zero_();
    else if (name.ends_with("to_q.weight") || name.ends_with("to_k.weight") || name.ends_with("to_v.weight"))
      parameter.mul_(std::sqrt(0.1));
  }
}

void DdpmppOptions::describe(OptionSchema& schema) {
  schema.add("ddpmpp.resolution", resolution, "pixels", {1, 4096}, "width and height");
  schema.add("ddpmpp.image_channels", image_channels, "", {1, 1024}, "channels of an image");
  schema.add("ddpmpp.classes", classes, "", {1, 1e6}, "number of classes; 1 for an unlabelled dataset");
  schema.add("ddpmpp.base", base, "", {4, 8192}, "channels of the first map and of the time's sinusoids");
  schema.add("ddpmpp.channels", channels, "", {1, 8192},
             "channels of each level; each but the last halves the size");
  schema.add("ddpmpp.blocks", blocks, "", {1, 64}, "residual blocks a level");
  schema.add("ddpmpp.attention", attention, "pixels", {1, 4096}, "sizes of maps with self-attention");
  schema.add("ddpmpp.groups", groups, "", {1, 8192}, "groups of group norm");
  schema.add("ddpmpp.eps", eps, "", {1e-12, 1}, "epsilon in group norm");
  schema.add("ddpmpp.dropout", dropout, "", {0, 0.99}, "dropout in residual blocks");
}

void DdpmppOptions::check() const {
  const std::int64_t halvings = std::ssize(channels) - 1;
  if (channels.empty()) fail(ExitCode::options, "ddpmpp.channels is empty: give each level's");
  if (halvings > 12 || resolution % (std::int64_t{1} << halvings) != 0)
    fail(ExitCode::options, "ddpmpp.resolution = {} cannot be halved {} times: give fewer ddpmpp.channels", resolution,
         halvings);
  if (base % 2 != 0)
    fail(ExitCode::options, "ddpmpp.base = {} is odd: the time has as many sines as cosines", base);
  if (base % groups != 0)
    fail(ExitCode::options, "ddpmpp.base = {} is not a multiple of ddpmpp.groups = {}", base, groups);
  for (const std::int64_t width : channels)
    if (width % groups != 0)
      fail(ExitCode::options, "ddpmpp.channels = {} is not a multiple of ddpmpp.groups = {}", width, groups);
  for (const std::int64_t size : attention) {
    bool known = false;
    for (std::size_t i = 0; i < channels.size(); ++i) known = known || size == resolution >> i;
    if (!known)
      fail(ExitCode::options, "ddpmpp.attention = {} is no size of a map: {} halved up to {} times", size, resolution,
           halvings);
  }
}

namespace {

class DdpmppNetwork final : public DenoiserNetwork {
 public:
  void describe(OptionSchema& schema) override { options_.describe(schema); }
  void check() const override { options_.check(); }
  std::shared_ptr<Denoiser> build(const DenoiserShape& shape) const override {
    return std::make_shared<Ddpmpp>(options_, shape);
  }
  bool takes_augmentation() const override { return true; }
  ImageSpec images() const override {
    return {options_.image_channels, options_.resolution, options_.resolution, options_.classes};
  }

 private:
  DdpmppOptions options_;
};

}  // namespace

std::unique_ptr<DenoiserNetwork> make_ddpmpp() {
  return std::make_unique<DdpmppNetwork>();
}

}  // namespace ganymede
