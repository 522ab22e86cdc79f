#pragma once

#include "models/diffusion/denoiser.h"
#include "models/diffusion/residual_block.h"
#include "models/diffusion/spatial_transformer.h"
#include "models/layers/sinusoids.h"
#include "models/layers/time_embedding.h"

namespace ganymede {

/// The UNet of DDPM (Ho et al., arXiv 2006.11239, appendix B), latent diffusion and ADM (Dhariwal and Nichol,
/// arXiv 2105.05233), with layers and names as diffusers' UNet2DModel has them.
struct UnetOptions {
  std::int64_t resolution = 32;
  std::int64_t image_channels = 3;
  std::int64_t classes = 1;
  std::vector<std::int64_t> channels = {128, 256, 256, 256};  ///< of each level; each halves the size
  std::int64_t time_channels = 0;                             ///< the time's sinusoids; 0 = channels[0]
  std::int64_t blocks = 2;                                    ///< residual blocks a level on the way down
  std::vector<std::int64_t> attention = {16};                 ///< sizes of maps with self-attention
  std::int64_t head_channels = 0;                             ///< of each head; 0 = one head
  std::int64_t heads = 0;                                     ///< a level, in the place of head_channels
  std::int64_t groups = 32;
  double eps = 1e-5;
  double dropout = 0;
  bool scale_shift = false;
  bool residual_resampling = false;
  bool symmetric_padding = true;
  bool cosine_first = false;
  double frequency_shift = 1;
  /// Width of the label's embedding as a context of one token that maps attend to; 0: it is added to the time's.
  std::int64_t class_context = 0;

  void describe(OptionSchema& schema);
  std::int64_t sinusoid_width() const { return time_channels > 0 ? time_channels : channels.front(); }
};

/// The time's sinusoids pass through two linear maps to an embedding of four times their width, to which the
/// label's is added. Where captions are told, or labels as a context, attention is that of a SpatialTransformer, as latent
/// diffusion has it (Rombach et al., arXiv 2112.10752, section 3.3).
class Unet final : public Denoiser {
 public:
  Unet(const UnetOptions& options, const DenoiserShape& shape);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& condition, const at::Tensor& labels,
                     const DenoiserContext& context) override;
  /// Uniform by fans (Glorot), as DDPM; zero in each block's last convolution, attention's output and the
  /// network's, so that it begins as the identity of its blocks.
  void initialise(std::uint64_t seed) override;

 private:
  class Level;
  void add_attention(Level& level, std::int64_t channels) const;
  /// [N, T, width], what maps attend to beside themselves; undefined where that is nothing.
  at::Tensor context_of(const at::Tensor& labels, const DenoiserContext& context, at::ScalarType maps) const;

  UnetOptions options_;
  std::int64_t context_width_;  // 0 without one
  std::shared_ptr<Conv2d> conv_in_, conv_out_;
  std::shared_ptr<TimeEmbedding> time_embedding_;
  std::shared_ptr<Embedding> class_embedding_;  // null where nothing is told apart
  std::shared_ptr<TextContext> text_;           // null where no captions are told
  std::shared_ptr<ModuleList<Level>> down_, up_;
  std::shared_ptr<Level> mid_;
  std::shared_ptr<GroupNorm> norm_out_;
};

std::unique_ptr<DenoiserNetwork> make_unet();

}  // namespace ganymede
