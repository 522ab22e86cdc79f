#pragma once

#include "models/gan/network.h"
#include "models/layers/weighted.h"

namespace ganymede {

/// The networks of BEGAN (Berthelot et al., arXiv 1703.10717, section 3.1): D is an autoencoder whose decoder
/// is built as G. Without labels and without normalisation.
struct AutoencodingOptions {
  std::int64_t resolution = 32;
  std::int64_t image_channels = 3;
  std::int64_t channels = 64;  ///< n
  std::int64_t latent = 64;    ///< N_z, and N_h of the code
  std::string error = "l1";    ///< mean over an image of |x - D(x)| or of its square
  std::string init = "xavier";

  void describe(OptionSchema& schema);
  /// Maps of 8x8, 16x16, ... up to the resolution.
  std::int64_t levels() const;
};

/// [N, latent] -> [N, C, H, W]: a linear map to 8x8, at each level two 3x3 convolutions with ELU, nearest
/// upsampling between levels, and a last convolution to colours, of any size.
class Decoder final : public torch::nn::Module {
 public:
  explicit Decoder(const AutoencodingOptions& options);
  at::Tensor forward(const at::Tensor& code, const ForwardContext& context);

 private:
  std::int64_t channels_;
  std::shared_ptr<Linear> linear_;
  std::vector<std::shared_ptr<Conv2d>> convolutions_;
  std::shared_ptr<Conv2d> to_image_;
};

/// The way back: level i has i n channels; each level's second convolution widens, and averages 2x2
/// positions.
class Encoder final : public torch::nn::Module {
 public:
  explicit Encoder(const AutoencodingOptions& options);
  at::Tensor forward(const at::Tensor& x, const ForwardContext& context);

 private:
  std::shared_ptr<Conv2d> from_image_;
  std::vector<std::shared_ptr<Conv2d>> convolutions_;
  std::shared_ptr<Linear> linear_;
};

std::unique_ptr<GanNetworks> make_autoencoding();

}  // namespace ganymede
