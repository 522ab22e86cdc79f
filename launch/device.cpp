#include "launch/device.h"

#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <torch/cuda.h>

#include <cstdlib>
#include <set>

#include "core/error.h"
#include "distributed/nccl_communicator.h"
#include "distributed/socket.h"

namespace ganymede {
namespace {

/// Whether all ranks see a GPU.
bool all_see_gpus(Communicator& world) {
  return world.agree(torch::cuda::is_available() ? 0 : 1) == 0;
}

void refuse_missing_gpu() {
  if (!at::globalContext().hasCUDART())
    fail(ExitCode::options,
         "train.device = cuda, but this build is for the CPU: build the preset cuda, or give cpu");
  fail(ExitCode::options,
       "train.device = cuda, but on {} no GPU is visible: see nvidia-smi and CUDA_VISIBLE_DEVICES there, or "
       "give cpu",
       host_name());
}

/// Throws on all ranks if two of them have the same GPU.
void refuse_shared_gpus(Communicator& world, int index, int visible) {
  const auto gpus = world.gather_texts(fmt::format("{} {}", host_name(), gpu_identity(index)));
  const std::set<std::string> different(gpus.begin(), gpus.end());
  if (different.size() == gpus.size()) return;
  fail(ExitCode::options,
       "{} ranks on {} GPUs, but a GPU takes one rank: start fewer ranks on each host (mpirun --map-by "
       "ppr:{}:node; Slurm: "
       "--ntasks-per-node), make more GPUs visible, or give train.device = cpu",
       gpus.size(), different.size(), visible);
}

/// torch repeats a warning whenever its cause returns: once is enough.
class WarnOnce final : public c10::WarningHandler {
 public:
  void process(const c10::Warning& warning) override {
    if (told_.insert(warning.msg()).second) fmt::print(stderr, "ganymede: warning: {}\n", warning.msg());
  }

 private:
  std::set<std::string> told_;
};

}  // namespace

bool has_bf16_units(at::Device device) {
  return device.is_cpu() ? __builtin_cpu_supports("avx512bf16") != 0 : gpu_has_bf16(device.index());
}

bool may_share_gpu() {
  const char* value = std::getenv("GANYMEDE_SHARE_GPU");
  return value != nullptr && std::string_view(value) == "1";
}

at::Device choose_device(const std::string& choice, Communicator& world) {
  if (choice == "cpu") return at::kCPU;
  if (!all_see_gpus(world)) {
    if (choice == "auto") return at::kCPU;
    if (!torch::cuda::is_available()) refuse_missing_gpu();
    fail(ExitCode::options,
         "train.device = cuda, but other ranks see no GPU: see nvidia-smi on each host, or give cpu");
  }
  // A launcher that gives each rank GPUs of its own leaves the others invisible: the number may repeat, the
  // GPU may not.
  const int visible = torch::cuda::device_count();
  const int index = world.local_rank() % visible;
  if (!may_share_gpu()) refuse_shared_gpus(world, index, visible);
  at::accelerator::setDeviceIndex(static_cast<c10::DeviceIndex>(index));
  return {at::kCUDA, static_cast<c10::DeviceIndex>(index)};
}

void set_arithmetic(const Arithmetic& arithmetic) {
  at::Context& context = at::globalContext();
  context.setAllowTF32CuBLAS(false);
  context.setAllowTF32CuDNN(false);
  context.setBenchmarkCuDNN(!arithmetic.deterministic);
  if (!arithmetic.deterministic) return;
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  context.setDeterministicCuDNN(true);
  // Operations without a deterministic form warn, and go on: max_pool2d's windows, which do not overlap, have
  // one summand an element, and so one result.
  context.setDeterministicAlgorithms(true, /*warn_only=*/true);
  context.setDeterministicFillUninitializedMemory(false);
  static WarnOnce once;
  c10::WarningUtils::set_warning_handler(&once);
}

std::int64_t peak_memory(at::Device device) {
  if (device.is_cpu()) return 0;
  constexpr auto all = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  return at::getDeviceAllocator(device.type())->getDeviceStats(device.index()).allocated_bytes[all].peak;
}

}  // namespace ganymede
