#pragma once

#include "models/first_stages/autoencoder.h"
#include "models/method.h"

namespace ganymede {

/// Image i is what an autoencoder makes of row i of SampleOptions::sources, nothing drawn.
class ReconstructionSampler final : public Sampler {
 public:
  ReconstructionSampler(std::shared_ptr<Autoencoder> network, const AutoencoderOptions& network_options,
                        const SampleOptions& options, at::ScalarType dtype, at::Device device);
  /// Throws Error(options) where no sources were given, or they are of another shape.
  at::Tensor images(std::int64_t first, const at::Tensor& labels) override;

 private:
  std::shared_ptr<Autoencoder> network_;
  AutoencoderOptions network_options_;
  SampleOptions options_;
  at::ScalarType dtype_;
  at::Device device_;
};

}  // namespace ganymede
