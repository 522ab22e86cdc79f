#pragma once

#include "distributed/communicator.h"

namespace ganymede::test {

/// The ranks that run this test program: all of mpirun's, or this process alone. A program links one of
/// mpi_main.cpp and single_world.cpp; tests are written for any rank count.
Communicator& world();

/// Whether `mine` holds on every rank: what a test asserts where only one rank may see the fault.
/// Collective.
inline bool everywhere(bool mine) {
  return world().agree(mine ? 0 : 1) == 0;
}

/// Collective.
inline double sum_over_ranks(double mine) {
  at::Tensor sum = at::full({}, mine, at::kDouble);
  world().all_reduce(sum)->wait();
  return sum.item<double>();
}

/// Whether the tensor is the same on all ranks, bit by bit. Collective.
inline bool equal_on_all_ranks(const at::Tensor& tensor) {
  at::Tensor root = tensor.contiguous().clone();
  world().broadcast(root, 0)->wait();
  return everywhere(at::equal(root, tensor));
}

}  // namespace ganymede::test
