#include "models/diffusion/residual_block.h"

#include <ATen/ATen.h>

namespace ganymede {
namespace {

at::Tensor resized(const at::Tensor& x, SizeChange change) {
  if (change == SizeChange::down) return at::avg_pool2d(x, 2);
  if (change == SizeChange::up)
    return at::upsample_nearest2d(x, at::IntArrayRef({x.size(2) * 2, x.size(3) * 2}));
  return x;
}

at::Tensor scaled_sum(const at::Tensor& x, const at::Tensor& y, double scale) {
  const at::Tensor sum = x + y;
  return scale == 1 ? sum : sum * scale;
}

}  // namespace

ResidualBlock::ResidualBlock(std::int64_t in, std::int64_t out, const BlockOptions& options,
                             const std::string& name, SizeChange change)
    : change_(change), scale_shift_(options.scale_shift), sum_scale_(options.sum_scale) {
  norm1_ = register_module("norm1", std::make_shared<GroupNorm>(options.groups, in, options.eps));
  conv1_ = register_module("conv1", std::make_shared<Conv2d>(in, out, 3, WeightOptions{}));
  if (options.embedding > 0)
    time_ = register_module(
        "time_emb_proj",
        std::make_shared<Linear>(options.embedding, scale_shift_ ? 2 * out : out, WeightOptions{}));
  norm2_ = register_module("norm2", std::make_shared<GroupNorm>(options.groups, out, options.eps));
  dropout_ = register_module("dropout", std::make_shared<Dropout>(options.dropout, name));
  conv2_ = register_module("conv2", std::make_shared<Conv2d>(out, out, 3, WeightOptions{}));
  if (in != out || (options.resampled_shortcut && change != SizeChange::none))
    shortcut_ = register_module("conv_shortcut", std::make_shared<Conv2d>(in, out, 1, WeightOptions{}));
}

at::Tensor ResidualBlock::forward(const std::vector<at::Tensor>& maps, const at::Tensor& emb,
                                  const LayerDraws* draws) {
  const bool apart = !at::GradMode::is_enabled() && maps.front().is_cpu() && shortcut_ && change_ == SizeChange::none;
  if (maps.size() > 1 && !apart) return forward(at::cat(maps, 1), emb, draws);
  const at::Tensor e = time_ ? time_->forward(emb) : at::Tensor();  // [N, out], or twice that with scale_shift
  at::Tensor h = maps.size() > 1 ? conv1_->forward_apart(norm1_->forward_silu_apart(maps)) : first_of(maps[0]);
  if (scale_shift_) {
    const auto parts = e.chunk(2, 1);
    h = norm2_->forward_modulated_silu(h, parts[0], parts[1]);
  } else {
    h = norm2_->forward_silu(h, e);
  }
  h = conv2_->forward(dropout_->forward(h, draws));
  return scaled_sum(maps.size() > 1 ? shortcut_->forward_apart(maps) : direct_of(maps[0]), h, sum_scale_);
}

at::Tensor ResidualBlock::first_of(const at::Tensor& x) {
  const at::Tensor h = norm1_->forward_silu(x);
  return change_ == SizeChange::up ? conv1_->forward_upsampled(h) : conv1_->forward(resized(h, change_));
}

at::Tensor ResidualBlock::direct_of(const at::Tensor& x) {
  const at::Tensor direct = resized(x, change_);
  return shortcut_ ? shortcut_->forward(direct) : direct;
}

std::vector<at::Tensor> maps_of(const at::Tensor& x, const at::Tensor& kept) {
  return kept.defined() ? std::vector{x, kept} : std::vector{x};
}

AttentionBlock::AttentionBlock(std::int64_t channels, std::int64_t heads, const BlockOptions& options)
    : MultiHeadAttention(channels, heads), sum_scale_(options.sum_scale) {
  norm_ = register_module("group_norm", std::make_shared<GroupNorm>(options.groups, channels, options.eps));
}

at::Tensor AttentionBlock::forward(const at::Tensor& x) {
  const at::Tensor tokens = norm_->forward(x).permute({0, 2, 3, 1}).flatten(1, 2);  // [N, HW, C]
  const at::Tensor mixed = MultiHeadAttention::forward(tokens);
  return scaled_sum(x, mixed.view({x.size(0), x.size(2), x.size(3), x.size(1)}).permute({0, 3, 1, 2}), sum_scale_);
}

ResidualStage::ResidualStage(std::int64_t in, std::int64_t out, const BlockOptions& options, const std::string& name,
                             SizeChange change) {
  resnet_ = register_module("resnet", std::make_shared<ResidualBlock>(in, out, options, name, change));
}

void ResidualStage::add_attention(std::int64_t channels, std::int64_t heads, const BlockOptions& options) {
  attention_ = register_module("attention", std::make_shared<AttentionBlock>(channels, heads, options));
}

at::Tensor ResidualStage::forward(const std::vector<at::Tensor>& maps, const at::Tensor& emb,
                                  const LayerDraws* draws) {
  const at::Tensor h = resnet_->forward(maps, emb, draws);
  return attention_ ? attention_->forward(h) : h;
}

Downsampling::Downsampling(std::int64_t channels, bool symmetric) : symmetric_(symmetric) {
  conv_ = register_module("conv", std::make_shared<Conv2d>(channels, channels, 3, WeightOptions{}));
}

at::Tensor Downsampling::forward(const at::Tensor& x) {
  if (symmetric_) return conv_->forward_strided(x, 2, 1);
  return conv_->forward_strided(at::constant_pad_nd(x, {0, 1, 0, 1}), 2, 0);
}

Upsampling::Upsampling(std::int64_t channels) {
  conv_ = register_module("conv", std::make_shared<Conv2d>(channels, channels, 3, WeightOptions{}));
}

}  // namespace ganymede
