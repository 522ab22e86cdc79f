#include <c10/cuda/CUDAException.h>
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <cstdlib>

#include "distributed/nccl_communicator.h"

namespace ganymede {
namespace {

void set_unless_set(const char* name, const std::string& value) {
  setenv(name, value.c_str(), /*overwrite=*/0);
}

}  // namespace

void prepare_nccl(const NcclEnvironment& environment) {
  // Gradients and batch norm have a group each: without an order among them their kernels could wait for each
  // other.
  set_unless_set("NCCL_LAUNCH_ORDER_IMPLICIT", "1");
  if (environment.deterministic) {
    set_unless_set("NCCL_ALGO", "Ring");
    set_unless_set("NCCL_PROTO", "Simple");
    set_unless_set("NCCL_NVLS_ENABLE", "0");
  }
  if (!environment.shared_gpu) return;
  set_unless_set("NCCL_HOSTID", fmt::format("ganymede-rank-{}", environment.rank));
  set_unless_set("NCCL_NET", "Socket");
  set_unless_set("NCCL_SOCKET_IFNAME", "lo");
  set_unless_set("NCCL_IB_DISABLE", "1");
  set_unless_set("NCCL_NVLS_ENABLE", "0");
  set_unless_set("NCCL_MNNVL_ENABLE", "0");
  set_unless_set("NCCL_RAS_ENABLE", "0");
  // All ranks' kernels must fit on the GPU beside each other.
  set_unless_set("NCCL_MAX_CTAS", "2");
}

std::string nccl_version() {
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess) return "unknown";
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

std::string gpu_identity(int index) {
  cudaDeviceProp properties;
  C10_CUDA_CHECK(cudaGetDeviceProperties(&properties, index));
  std::string text;
  for (const char byte : properties.uuid.bytes)
    text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

bool gpu_has_bf16(int index) {
  int major = 0;
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index));
  return major >= 8;
}

}  // namespace ganymede
