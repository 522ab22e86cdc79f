#pragma once

#include "models/layers/dropout.h"
#include "models/layers/strided.h"
#include "models/translation/map_norm.h"
#include "models/translation/translator.h"

namespace ganymede {

/// What a U-Net that translates images looks like.
struct UnetTranslatorOptions {
  std::int64_t source_channels = 3, image_channels = 3;
  std::int64_t depth = 8;           ///< halvings; 2^depth divides height and width
  std::int64_t channels = 64;       ///< of the largest map; twice as many at each halving, up to eight times
  std::string norm = "batch";       ///< MapNorm's
  double dropout = 0.5;             ///< of the decoder's first blocks
  std::int64_t dropout_blocks = 3;  ///< how many those are

  /// Channels of the map after `halvings` of them, from 1.
  std::int64_t width(std::int64_t halvings) const;
};

/// The generator of pix2pix (Isola et al., arXiv 1611.07004, section 6.1.1): `depth` 4x4 convolutions of stride 2, as
/// many fractionally strided ones back, and skips between maps of one size:
///
///     d_1 = conv(x), d_i = norm(conv(leaky_relu(d_{i-1}))), and no norm at the innermost
///     u_depth = norm(conv(relu(d_depth))), u_i = norm(conv(relu([d_i, u_{i+1}]))), tanh in the place of the last norm
///
/// The decoder's first `dropout_blocks` blocks end with dropout, drawn from ForwardContext::noise; without one there is
/// no dropout. Parameters "down<i>", "up<i>", and with batch norm "down_norm<i>", "up_norm<i>", i = 1 .. depth.
class UnetTranslator final : public Translator {
 public:
  explicit UnetTranslator(const UnetTranslatorOptions& options);
  at::Tensor forward(const at::Tensor& x, const ForwardContext& context) override;

 private:
  struct Down {
    std::shared_ptr<StridedConv2d> conv;
    std::optional<MapNorm> norm;
  };
  struct Up {
    std::shared_ptr<TransposedConv2d> conv;
    std::optional<MapNorm> norm;
    std::optional<Dropout> dropout;
  };
  Up make_up(const UnetTranslatorOptions& options, std::int64_t i);

  std::vector<Down> downs_;  // from the largest map on
  std::vector<Up> ups_;      // the same
};

}  // namespace ganymede
