#pragma once

#include <span>

#include "core/named_tensors.h"
#include "core/run_chain.h"
#include "datasets/loader.h"

namespace ganymede {

/// What the ranks tell together of a step for the run's chain, as numbers that they sum anyhow:
///
///     digests.add(batch)                       of each micro-batch, every rank its rows
///     numbers = digests.numbers(tensors)       and the sums over all ranks
///     StepDigests::read(sums, names, link)
///
/// The digest of a step's samples is the sum over its rows of a digest of image, label and conditions, weighed by the row's
/// global position: the same at any number of ranks. Each rank digests its share of the tensors, which are the same on
/// all: together they read each once.
class StepDigests {
 public:
  StepDigests(int rank, int world_size) : rank_(rank), world_size_(world_size) {}

  void add(const Batch& batch);
  /// Of the batches since the last time, and of the tensors (the same on all ranks, dense): float64, on their device.
  at::Tensor numbers(const NamedTensors& tensors);
  /// How many numbers there are.
  static std::size_t count(std::size_t tensors) { return 2 + tensors; }
  static void read(std::span<const double> sums, std::vector<std::string> names, ChainLink& link);

 private:
  int rank_, world_size_;
  at::Tensor samples_;  ///< int64, a scalar on the batches' device
};

}  // namespace ganymede
