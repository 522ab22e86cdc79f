#include "models/first_stages/first_stage.h"

#include <ATen/ATen.h>

#include "models/player.h"

namespace ganymede {

FirstStage::FirstStage(const AutoencoderOptions& options, at::ScalarType dtype, at::Device device)
    : quantises_(options.quantises()), network_(std::make_shared<Autoencoder>(options)) {
  network_->to(device, dtype);
  for (const auto& item : network_->parameters()) at::Tensor(item).requires_grad_(false);
  mean_ = at::zeros({options.latent_channels}, at::TensorOptions(dtype).device(device));
  deviation_ = at::ones_like(mean_);
}

at::Tensor FirstStage::latents(const at::Tensor& rows, const at::Tensor& mirrored,
                               const at::Tensor& eps) const {
  const auto sides = rows.chunk(2, 1);
  const at::Tensor moments =
      at::where(mirrored.view({-1, 1, 1, 1}), sides[1], sides[0]).to(mean_.scalar_type()) *
      StoredLatents::range;
  const at::Tensor z = quantises_ ? moments : LatentMoments(moments).drawn(eps);
  return ((z - mean_.view({1, -1, 1, 1})) / deviation_.view({1, -1, 1, 1}))
      .contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor FirstStage::images(const at::Tensor& latents, std::optional<at::ScalarType> activations) const {
  const at::NoGradGuard no_grad;
  at::Tensor z = latents.to(mean_.scalar_type()) * deviation_.view({1, -1, 1, 1}) + mean_.view({1, -1, 1, 1});
  begin_phase(*network_, false);
  if (quantises_) z = network_->codebook().quantised(z);
  return network_->decode(z, activations).clamp(-1, 1).to(at::kFloat);
}

NamedTensors FirstStage::state() const {
  NamedTensors state;
  for (const auto& [name, tensor] : parameters_of(*network_))
    state.emplace_back("first_stage/weight/" + name, tensor);
  state.emplace_back("first_stage/state/mean", mean_);
  state.emplace_back("first_stage/state/deviation", deviation_);
  return state;
}

void FirstStage::initialise(std::uint64_t seed) {
  network_->initialise(seed);
  mean_.zero_();
  deviation_.fill_(1);
}

}  // namespace ganymede
