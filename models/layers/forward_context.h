#pragma once

#include <optional>

#include "core/philox.h"
#include "distributed/synchronised_moments.h"

namespace ganymede {

/// Which statistics a batch norm normalises with, and what it remembers.
enum class BatchNormMode {
  train,     ///< of the batch; the running averages follow
  batch,     ///< of the batch; nothing is remembered
  running,   ///< the running averages
  standing,  ///< of the batch, added up for Network::adopt_standing
};

/// Where a network's own random numbers come from (StyleGAN's noise and mixing): row i of a layer's draw belongs to
/// image first + i of the phase that `key` names.
struct NoiseSource {
  RandomKey key;
  std::int64_t first = 0;

  RandomStream stream(std::string_view layer, std::string_view what) const {
    RandomKey of_layer = key;
    of_layer.layer = layer;
    of_layer.stream = what;
    return RandomStream(of_layer);
  }
};

/// What a network written for one device is handed so that it works on many: everything that mixes images.
struct ForwardContext {
  Communicator& communicator;  ///< batch norm's
  GroupLayout layout;  ///< this rank's images within the micro-batch, and the groups that share statistics
  BatchNormMode batch_norm = BatchNormMode::train;
  /// The type of maps [N, C, H, W] between convolutions; without one, that of the weights.
  std::optional<at::ScalarType> activations = std::nullopt;
  /// What a discriminator is given may be several micro-batches' shares one after another (real images, then
  /// fake ones): all laid out alike, and sharing no statistics.
  std::int64_t parts = 1;
  /// Of networks that grow: how far the newest resolution is faded in, one number in [0, 1]. Undefined: as far as
  /// the network's options say.
  at::Tensor fade = {};
  /// Without one, networks that draw use what they keep for that, or do not draw.
  std::optional<NoiseSource> noise = std::nullopt;
  /// Where a discriminator leaves its last layer's input [N, F], if it has one and someone asks.
  at::Tensor* features = nullptr;
  /// Where one with a head (HeadedDiscriminator) leaves what that says [N, K].
  at::Tensor* outputs = nullptr;

  /// The context of one of the parts.
  ForwardContext of_part() const {
    ForwardContext part = *this;
    part.parts = 1;
    return part;
  }
  void keep_features(const at::Tensor& h) const {
    if (features) *features = h;
  }
  /// x as a map: in that type and in channels_last order.
  at::Tensor as_map(const at::Tensor& x) const {
    return x.to(activations.value_or(x.scalar_type()), false, false, at::MemoryFormat::ChannelsLast);
  }
};

}  // namespace ganymede
