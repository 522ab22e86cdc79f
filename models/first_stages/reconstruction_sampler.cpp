#include "models/first_stages/reconstruction_sampler.h"

#include <ATen/ATen.h>

#include "core/device.h"
#include "core/error.h"

namespace ganymede {

ReconstructionSampler::ReconstructionSampler(std::shared_ptr<Autoencoder> network,
                                             const AutoencoderOptions& network_options,
                                             const SampleOptions& options, at::ScalarType dtype,
                                             at::Device device)
    : network_(std::move(network)),
      network_options_(network_options),
      options_(options),
      dtype_(dtype),
      device_(device) {
  begin_phase(*network_, false);
}

at::Tensor ReconstructionSampler::images(std::int64_t first, const at::Tensor& labels) {
  const at::NoGradGuard no_grad;
  if (!options_.sources)
    fail(ExitCode::options, "there is nothing to reconstruct: name a dataset, --conditions FILE");
  const CoderOptions& coder = network_options_.coder;
  const at::Tensor x = options_.sources(first, labels.size(0));
  const std::int64_t shape[] = {labels.size(0), coder.image_channels, coder.resolution, coder.resolution};
  if (x.sizes() != at::IntArrayRef(shape))
    fail(ExitCode::options,
         "what is to be reconstructed has {} channels, {}x{} pixels, and the network takes {} channels, "
         "{}x{}: name "
         "another dataset, --conditions FILE",
         x.size(1), x.size(2), x.size(3), coder.image_channels, coder.resolution, coder.resolution);
  const at::Tensor moments = network_->encode(to_device(x.to(dtype_), device_));
  const at::Tensor z =
      network_options_.quantises() ? network_->codebook().quantised(moments) : LatentMoments(moments).mean;
  return network_->decode(z).clamp(-1, 1).to(at::kFloat);
}

}  // namespace ganymede
