#pragma once

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
};

}  // namespace ganymede
