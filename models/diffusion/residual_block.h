#pragma once

#include "models/layers/dropout.h"
#include "models/layers/group_norm.h"
#include "models/layers/multi_head_attention.h"
#include "models/layers/weighted.h"

namespace ganymede {

/// What the blocks of a UNet have in common.
struct BlockOptions {
  std::int64_t embedding = 512;  ///< width of the embedded time and label; 0 = there is neither
  std::int64_t groups = 32;
  double eps = 1e-5;
  double dropout = 0;
  bool scale_shift = false;
  double sum_scale = 1;             ///< what x + f(x) is multiplied by
  bool resampled_shortcut = false;  ///< a block that changes the size has its conv_shortcut too
};

enum class SizeChange { none, up, down };

/// A residual block of DDPM's UNet, with names as diffusers has them ("norm1", "conv1", "time_emb_proj", ...):
///
///     h = conv1(silu(norm1(x))),  e = time_emb_proj(emb)
///     y = x + conv2(dropout(silu(norm2(h + e))))             without scale_shift
///     y = x + conv2(dropout(silu(norm2(h) (1 + a) + b)))     with, e = (a, b)  (ADM, arXiv 2105.05233)
///
/// x passes a 1x1 convolution "conv_shortcut" where the numbers of channels differ, and y is multiplied by sum_scale. With
/// a change of size, x and the input of conv1 are doubled (nearest) or halved (mean of 2x2) in size. emb comes through its
/// SiLU; without an embedding e is 0, and there is no "time_emb_proj".
class ResidualBlock : public torch::nn::Module {
 public:
  /// `name` tells its dropout from others'.
  ResidualBlock(std::int64_t in, std::int64_t out, const BlockOptions& options, const std::string& name,
                SizeChange change = SizeChange::none);
  /// x [N, in, H, W], emb [N, embedding], undefined where there is none.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& emb, const LayerDraws* draws) {
    return forward(std::vector<at::Tensor>{x}, emb, draws);
  }
  /// Of maps put together along channels. Without gradients, on the CPU, they stay apart where there is a conv_shortcut
  /// and no change of size: less memory is passed over, and a convolution of fewer channels stays in the cache.
  at::Tensor forward(const std::vector<at::Tensor>& maps, const at::Tensor& emb, const LayerDraws* draws);

 private:
  /// What conv1 gives, and what is added to conv2's.
  at::Tensor first_of(const at::Tensor& x);
  at::Tensor direct_of(const at::Tensor& x);

  SizeChange change_;
  bool scale_shift_;
  double sum_scale_;
  std::shared_ptr<GroupNorm> norm1_, norm2_;
  std::shared_ptr<Conv2d> conv1_, conv2_, shortcut_;
  std::shared_ptr<Linear> time_;
  std::shared_ptr<Dropout> dropout_;
};

/// x and, if there is any, what the way down has kept, for ResidualBlock::forward().
std::vector<at::Tensor> maps_of(const at::Tensor& x, const at::Tensor& kept);

/// y = (x + attention(norm(x))) sum_scale over positions: "group_norm", "to_q", ... x [N, C, H, W] in channels_last order.
class AttentionBlock : public MultiHeadAttention {
 public:
  AttentionBlock(std::int64_t channels, std::int64_t heads, const BlockOptions& options);
  at::Tensor forward(const at::Tensor& x);

 private:
  double sum_scale_;
  std::shared_ptr<GroupNorm> norm_;
};

/// A residual block, "resnet", and attention after it, "attention", where that was added.
class ResidualStage : public torch::nn::Module {
 public:
  ResidualStage(std::int64_t in, std::int64_t out, const BlockOptions& options, const std::string& name,
                SizeChange change = SizeChange::none);
  void add_attention(std::int64_t channels, std::int64_t heads, const BlockOptions& options);
  /// ResidualBlock::forward() of maps, then attention.
  at::Tensor forward(const std::vector<at::Tensor>& maps, const at::Tensor& emb, const LayerDraws* draws);

 private:
  std::shared_ptr<ResidualBlock> resnet_;
  std::shared_ptr<AttentionBlock> attention_;  // may be null
};

/// Halves the size: a 3x3 convolution "conv" of stride 2, with zeros on all sides or, as in the original DDPM,
/// below and to the right only.
class Downsampling : public torch::nn::Module {
 public:
  Downsampling(std::int64_t channels, bool symmetric);
  at::Tensor forward(const at::Tensor& x);

 private:
  std::shared_ptr<Conv2d> conv_;
  bool symmetric_;
};

/// Doubles the size, nearest, then a 3x3 convolution "conv".
class Upsampling : public torch::nn::Module {
 public:
  explicit Upsampling(std::int64_t channels);
  at::Tensor forward(const at::Tensor& x) { return conv_->forward_upsampled(x); }

 private:
  std::shared_ptr<Conv2d> conv_;
};

}  // namespace ganymede
