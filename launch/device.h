#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace ganymede {

/// The GPU that a rank would take.
struct RankGpu {
  std::string host;
  std::string identity;  ///< what tells it from the host's others; "" where the rank sees none
  int index = 0;         ///< among those that the rank sees
};
/// This rank's: each rank of a host gets one of its own, by its local rank. Throws what CUDA says of a
/// broken one.
RankGpu own_gpu(int local_rank);

struct DeviceRequest {
  std::string choice;  ///< cpu, cuda, or auto: cuda where every rank has a GPU of its own
  std::string option;  ///< the option that says so, for messages: train.device, --device
  bool may_share = false;
};
struct DeviceDecision {
  bool cuda = false;
  std::string warning = {};  ///< for rank 0 to print; may be empty
};
/// What all ranks compute on, from every rank's GPU in rank order: the same on all of them. Throws
/// Error(options) where cuda is asked for and some rank has no GPU, or not one of its own.
DeviceDecision decide_device(const DeviceRequest& request, const std::vector<RankGpu>& ranks);

/// Whether the device multiplies bfloat16 matrices faster than float32 ones.
bool has_bf16_units(at::Device device);

/// Whether GANYMEDE_SHARE_GPU=1 in the environment allows several ranks a GPU, for tests.
bool may_share_gpu();

struct Arithmetic {
  bool deterministic = false;  ///< the same bits in each run, on a GPU too: no autotuning, no atomic sums
};
/// Sets what torch holds for the whole process: fp32 means no TF32. Before any work on the device.
void set_arithmetic(const Arithmetic& arithmetic);

/// The most memory that tensors on a GPU have taken so far, in bytes; 0 for the host.
std::int64_t peak_memory(at::Device device);

}  // namespace ganymede
