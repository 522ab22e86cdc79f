#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/named_tensors.h"
#include "distributed/communicator.h"

namespace ganymede {

/// What replicas that should be the same differ in.
struct ReplicaDifference {
  std::vector<int> ranks;            ///< those that are not as most are; empty where no majority tells
  std::vector<std::string> tensors;  ///< that are not the same on all ranks, in their order

  /// "rank 2 is not as the other 3: 1 tensor differs, generator/weight/linear.weight".
  std::string text(int world_size) const;
};

/// Compares tensors that should be the same on every rank, bit by bit, by digest_of() each. Reads them once, and sends 8
/// bytes a rank, as many as there are tensors only where something differs. They are dense, in the same memory order on
/// all ranks. Collective; all ranks return the same.
std::optional<ReplicaDifference> compare_replicas(Communicator& ranks, const NamedTensors& tensors);

}  // namespace ganymede
