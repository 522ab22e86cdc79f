#pragma once

#include <torch/types.h>

#include <string>

#include "distributed/communicator.h"

namespace ganymede {

/// The device that this rank computes on: `choice` is cpu, cuda, or auto (cuda where this build has it and
/// every rank sees a GPU). Each rank of a host gets a GPU of its own, by its local rank; GANYMEDE_SHARE_GPU=1
/// in the environment lets several share one, for tests. Makes it this thread's current device. Collective on
/// `world`; throws Error(options).
at::Device choose_device(const std::string& choice, Communicator& world);

/// Whether the device multiplies bfloat16 matrices faster than float32 ones.
bool has_bf16_units(at::Device device);

/// Whether GANYMEDE_SHARE_GPU allows several ranks a GPU.
bool may_share_gpu();

struct Arithmetic {
  bool deterministic = false;  ///< the same bits in each run, on a GPU too: no autotuning, no atomic sums
};
/// Sets what torch holds for the whole process: fp32 means no TF32. Before any work on the device.
void set_arithmetic(const Arithmetic& arithmetic);

/// The most memory that tensors on a GPU have taken so far, in bytes; 0 for the host.
std::int64_t peak_memory(at::Device device);

}  // namespace ganymede
