#pragma once

#include "core/named_tensors.h"
#include "models/first_stages/autoencoder.h"

namespace ganymede {

/// Latents as a dataset keeps them: what an encoder says of an image and then of the image mirrored left to right, both
/// Autoencoder::encode's moments, one after the other along the channels, divided by `range`, a power of two so that
/// nothing is lost.
struct StoredLatents {
  static constexpr double range = 1024;

  static std::int64_t channels(const AutoencoderOptions& options) { return 2 * options.moment_channels(); }
};

/// The autoencoder between which and its latents a diffusion model works: it learns nothing any more. Latents are
/// normalised, (z - mean) / deviation with the figures of each channel over the dataset that is learned from; those of
/// "vq" are the vectors before quantising, which decoding makes up for, and have one deviation for all channels.
class FirstStage {
 public:
  FirstStage(const AutoencoderOptions& options, at::ScalarType dtype, at::Device device);

  /// Rows [N, 2 moments, h, w] of a dataset, which of them mirrored (bool [N]) and noise eps [N, z, h, w] ->
  /// normalised latents [N, z, h, w].
  at::Tensor latents(const at::Tensor& rows, const at::Tensor& mirrored, const at::Tensor& eps) const;
  /// Normalised latents -> images in [-1, 1], float32. `activations` as in Autoencoder.
  at::Tensor images(const at::Tensor& latents,
                    std::optional<at::ScalarType> activations = std::nullopt) const;
  /// Weights "first_stage/weight/<name>", "first_stage/state/mean" and ".../deviation" [z]: views. No step changes them.
  NamedTensors state() const;
  /// Weights from `seed`, mean 0 and deviation 1: until others come in their place.
  void initialise(std::uint64_t seed);

 private:
  bool quantises_;
  std::shared_ptr<Autoencoder> network_;
  at::Tensor mean_, deviation_;
};

}  // namespace ganymede
