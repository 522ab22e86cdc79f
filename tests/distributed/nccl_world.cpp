// Each rank takes the GPU of its local rank; where there are fewer GPUs, several share one.

#include <ATen/DeviceAccelerator.h>
#include <torch/cuda.h>

#include "distributed/nccl_communicator.h"
#include "tests/distributed/mpi_session.h"
#include "tests/distributed/world.h"

namespace ganymede::test {
namespace {

at::Device the_device = at::kCPU;

}  // namespace

std::unique_ptr<Communicator> make_world(MpiSession& session) {
  const auto host = session.world();
  const int gpus = torch::cuda::device_count();
  TORCH_CHECK(gpus > 0, "no GPU is visible");
  the_device = at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(host->local_rank() % gpus));
  at::accelerator::setDeviceIndex(the_device.index());
  prepare_nccl({.rank = host->rank(), .shared_gpu = host->local_size() > gpus, .deterministic = true});
  return make_nccl_communicator(session, *host, "world", the_device, std::chrono::seconds(60));
}

at::Device device() {
  return the_device;
}

}  // namespace ganymede::test
