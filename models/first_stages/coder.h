#pragma once

#include "core/options.h"
#include "models/diffusion/residual_block.h"

namespace ganymede {

/// What encoder and decoder have in common.
struct CoderOptions {
  std::int64_t resolution = 256;
  std::int64_t image_channels = 3;
  std::vector<std::int64_t> channels = {128, 256, 512};  ///< of each level; each but the last halves the size
  std::int64_t blocks = 2;                   ///< residual blocks a level; the decoder has one more
  std::vector<std::int64_t> attention = {};  ///< sizes of maps with self-attention, beside the smallest
  std::int64_t groups = 32;
  double eps = 1e-6;

  void describe(OptionSchema& schema, const std::string& section);
  /// Throws Error(options) where single options are in range but do not fit together.
  void check(const std::string& section) const;
};

/// The residual blocks that work at one size, each perhaps followed by attention, and a change of size: "resnets",
/// "attentions", "downsamplers" or "upsamplers".
class CoderLevel final : public torch::nn::Module {
 public:
  CoderLevel() : resnets_(register_module("resnets", std::make_shared<ModuleList<ResidualBlock>>())) {}
  void add_block(std::int64_t in, std::int64_t out, const BlockOptions& options);
  void add_attention(std::int64_t channels, const BlockOptions& options);
  void add_downsampling(std::int64_t channels);
  void add_upsampling(std::int64_t channels);
  at::Tensor forward(at::Tensor h);

 private:
  std::shared_ptr<ModuleList<ResidualBlock>> resnets_;
  std::shared_ptr<ModuleList<AttentionBlock>> attentions_;
  std::shared_ptr<ModuleList<Downsampling>> down_;
  std::shared_ptr<ModuleList<Upsampling>> up_;
};

/// [N, C, H, W] -> [N, out, h, w]: levels "down_blocks", each but the last halving the size with zeros below and to the
/// right, then "mid_block" (two residual blocks with attention between them), group norm, SiLU and a convolution.
class LatentEncoder final : public torch::nn::Module {
 public:
  LatentEncoder(const CoderOptions& options, std::int64_t out);
  at::Tensor forward(const at::Tensor& x);

 private:
  std::shared_ptr<Conv2d> conv_in_, conv_out_;
  std::shared_ptr<ModuleList<CoderLevel>> down_;
  std::shared_ptr<CoderLevel> mid_;
  std::shared_ptr<GroupNorm> norm_;
};

/// [N, in, h, w] -> [N, C, H, W]: the same the other way round, levels "up_blocks".
class LatentDecoder final : public torch::nn::Module {
 public:
  LatentDecoder(const CoderOptions& options, std::int64_t in);
  at::Tensor before_last_layer(const at::Tensor& z);
  at::Tensor last_layer(const at::Tensor& h) { return conv_out_->forward(h); }
  const at::Tensor& last_weight() const { return conv_out_->weight(); }

 private:
  std::shared_ptr<Conv2d> conv_in_, conv_out_;
  std::shared_ptr<ModuleList<CoderLevel>> up_;
  std::shared_ptr<CoderLevel> mid_;
  std::shared_ptr<GroupNorm> norm_;
};

}  // namespace ganymede
