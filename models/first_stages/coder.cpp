#include "models/first_stages/coder.h"

#include <ATen/ATen.h>

#include "core/error.h"

namespace ganymede {
namespace {

BlockOptions blocks_of(const CoderOptions& options) {
  return {.embedding = 0, .groups = options.groups, .eps = options.eps};
}

bool has_attention(const CoderOptions& options, std::size_t level) {
  return std::ranges::find(options.attention, options.resolution >> level) != options.attention.end();
}

std::shared_ptr<CoderLevel> middle(std::int64_t channels, const BlockOptions& options) {
  auto mid = std::make_shared<CoderLevel>();
  for (int i = 0; i < 2; ++i) mid->add_block(channels, channels, options);
  mid->add_attention(channels, options);
  return mid;
}

}  // namespace

void CoderOptions::describe(OptionSchema& schema, const std::string& section) {
  const std::string s = section + ".";
  schema.add(s + "resolution", resolution, "pixels", {1, 4096}, "width and height of an image");
  schema.add(s + "image_channels", image_channels, "", {1, 1024}, "channels of an image");
  schema.add(s + "channels", channels, "", {1, 8192},
             "channels of each level; each but the last halves the size");
  schema.add(s + "blocks", blocks, "", {1, 64}, "residual blocks a level; the decoder has one more");
  schema.add(s + "attention", attention, "pixels", {1, 4096},
             "sizes of maps with self-attention; the smallest has it once in any case");
  schema.add(s + "groups", groups, "", {1, 8192}, "groups of group norm");
  schema.add(s + "eps", eps, "", {1e-12, 1}, "epsilon in group norm");
}

void CoderOptions::check(const std::string& section) const {
  const std::int64_t halvings = std::ssize(channels) - 1;
  if (channels.empty()) fail(ExitCode::options, "{}.channels is empty: give each level's", section);
  if (halvings > 12 || resolution % (std::int64_t{1} << halvings) != 0)
    fail(ExitCode::options, "{0}.resolution = {1} cannot be halved {2} times: give fewer {0}.channels",
         section, resolution, halvings);
  for (const std::int64_t each : channels)
    if (each % groups != 0)
      fail(ExitCode::options, "{0}.channels = {1} is not a multiple of {0}.groups = {2}", section, each,
           groups);
  for (const std::int64_t size : attention) {
    bool known = false;
    for (std::int64_t i = 0; i <= halvings; ++i) known = known || size == resolution >> i;
    if (!known)
      fail(ExitCode::options, "{}.attention = {} is no size of a map: {} halved up to {} times", section,
           size, resolution, halvings);
  }
}

void CoderLevel::add_block(std::int64_t in, std::int64_t out, const BlockOptions& options) {
  resnets_->add(std::make_shared<ResidualBlock>(in, out, options, ""));
}

void CoderLevel::add_attention(std::int64_t channels, const BlockOptions& options) {
  if (!attentions_)
    attentions_ = register_module("attentions", std::make_shared<ModuleList<AttentionBlock>>());
  attentions_->add(std::make_shared<AttentionBlock>(channels, 1, options));
}

void CoderLevel::add_downsampling(std::int64_t channels) {
  down_ = register_module("downsamplers", std::make_shared<ModuleList<Downsampling>>());
  down_->add(std::make_shared<Downsampling>(channels, /*symmetric=*/false));
}

void CoderLevel::add_upsampling(std::int64_t channels) {
  up_ = register_module("upsamplers", std::make_shared<ModuleList<Upsampling>>());
  up_->add(std::make_shared<Upsampling>(channels));
}

at::Tensor CoderLevel::forward(at::Tensor h) {
  for (std::size_t i = 0; i < resnets_->size(); ++i) {
    h = (*resnets_)[i].forward(h, {}, nullptr);
    if (attentions_ && i < attentions_->size()) h = (*attentions_)[i].forward(h);
  }
  if (down_) h = (*down_)[0].forward(h);
  if (up_) h = (*up_)[0].forward(h);
  return h;
}

LatentEncoder::LatentEncoder(const CoderOptions& options, std::int64_t out) {
  const BlockOptions blocks = blocks_of(options);
  const std::size_t levels = options.channels.size();
  std::int64_t in = options.channels.front();
  conv_in_ =
      register_module("conv_in", std::make_shared<Conv2d>(options.image_channels, in, 3, WeightOptions{}));
  down_ = register_module("down_blocks", std::make_shared<ModuleList<CoderLevel>>());
  for (std::size_t i = 0; i < levels; ++i) {
    CoderLevel& level = *down_->add(std::make_shared<CoderLevel>());
    for (std::int64_t j = 0; j < options.blocks; ++j, in = options.channels[i]) {
      level.add_block(in, options.channels[i], blocks);
      if (has_attention(options, i)) level.add_attention(options.channels[i], blocks);
    }
    if (i + 1 < levels) level.add_downsampling(in);
  }
  mid_ = register_module("mid_block", middle(in, blocks));
  norm_ = register_module("conv_norm_out", std::make_shared<GroupNorm>(options.groups, in, options.eps));
  conv_out_ = register_module("conv_out", std::make_shared<Conv2d>(in, out, 3, WeightOptions{}));
}

at::Tensor LatentEncoder::forward(const at::Tensor& x) {
  at::Tensor h = conv_in_->forward(x);
  for (const auto& level : *down_) h = level->forward(h);
  return conv_out_->forward(norm_->forward_silu(mid_->forward(h)));
}

LatentDecoder::LatentDecoder(const CoderOptions& options, std::int64_t in) {
  const BlockOptions blocks = blocks_of(options);
  std::int64_t width = options.channels.back();
  conv_in_ = register_module("conv_in", std::make_shared<Conv2d>(in, width, 3, WeightOptions{}));
  mid_ = register_module("mid_block", middle(width, blocks));
  up_ = register_module("up_blocks", std::make_shared<ModuleList<CoderLevel>>());
  for (std::size_t i = options.channels.size(); i-- > 0;) {
    CoderLevel& level = *up_->add(std::make_shared<CoderLevel>());
    for (std::int64_t j = 0; j <= options.blocks; ++j, width = options.channels[i]) {
      level.add_block(width, options.channels[i], blocks);
      if (has_attention(options, i)) level.add_attention(options.channels[i], blocks);
    }
    if (i > 0) level.add_upsampling(width);
  }
  norm_ = register_module("conv_norm_out", std::make_shared<GroupNorm>(options.groups, width, options.eps));
  conv_out_ = register_module("conv_out",
                              std::make_shared<Conv2d>(width, options.image_channels, 3, WeightOptions{}));
}

at::Tensor LatentDecoder::before_last_layer(const at::Tensor& z) {
  at::Tensor h = mid_->forward(conv_in_->forward(z));
  for (const auto& level : *up_) h = level->forward(h);
  return norm_->forward_silu(h);
}

}  // namespace ganymede
