#pragma once

#include <optional>

#include "distributed/synchronised_moments.h"

namespace ganymede {

/// Which statistics a batch norm normalises with, and what it remembers.
enum class BatchNormMode {
  train,     ///< of the batch; the running averages follow
  batch,     ///< of the batch; nothing is remembered
  running,   ///< the running averages
  standing,  ///< of the batch, added up for Network::adopt_standing
};

/// What a network written for one device is handed so that it works on many: everything that mixes images.
struct ForwardContext {
  Communicator& communicator;  ///< batch norm's
  GroupLayout layout;  ///< this rank's images within the micro-batch, and the groups that share statistics
  BatchNormMode batch_norm = BatchNormMode::train;
  /// The type of maps [N, C, H, W] between convolutions; without one, that of the weights.
  std::optional<at::ScalarType> activations = std::nullopt;
  /// Where a discriminator leaves its last layer's input [N, F], if it has one and someone asks.
  at::Tensor* features = nullptr;

  void keep_features(const at::Tensor& h) const {
    if (features) *features = h;
  }
  /// x as a map: in that type and in channels_last order.
  at::Tensor as_map(const at::Tensor& x) const {
    return x.to(activations.value_or(x.scalar_type()), false, false, at::MemoryFormat::ChannelsLast);
  }
};

}  // namespace ganymede
