#pragma once

#include "distributed/communicator.h"

namespace ganymede::test {

/// The ranks that run this test program: all of mpirun's, or this process alone. A program links
/// single_world.cpp, or mpi_main.cpp with one of mpi_world.cpp and nccl_world.cpp; tests are written for any
/// rank count.
Communicator& world();

/// Where the tensors lie that the ranks exchange: the host, or this rank's GPU.
at::Device device();

inline at::TensorOptions on_device(at::ScalarType type = at::kFloat) {
  return at::TensorOptions(type).device(device());
}

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
