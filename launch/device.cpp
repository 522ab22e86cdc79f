#include "launch/device.h"

#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <torch/cuda.h>

#include <cstdlib>
#include <set>

#include "core/error.h"
#include "core/host_name.h"
#include "distributed/nccl_communicator.h"

namespace ganymede {
namespace {

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

RankGpu own_gpu(int local_rank) {
  RankGpu own{host_name(), "", 0};
  if (!torch::cuda::is_available()) return own;
  // A launcher that gives each rank GPUs of its own leaves the others invisible: the number may repeat, the
  // GPU may not.
  own.index = local_rank % static_cast<int>(torch::cuda::device_count());
  own.identity = gpu_identity(own.index);
  return own;
}

DeviceDecision decide_device(const DeviceRequest& request, const std::vector<RankGpu>& ranks) {
  if (request.choice == "cpu") return {};
  const bool must = request.choice == "cuda";
  std::set<std::string> different;
  for (const RankGpu& rank : ranks) {
    if (rank.identity.empty()) {
      if (!must) return {};
      if (!at::globalContext().hasCUDART())
        fail(ExitCode::options,
             "{} = cuda, but this build is for the CPU: build the preset cuda, or give cpu", request.option);
      fail(ExitCode::options,
           "{} = cuda, but on {} no GPU is visible: see nvidia-smi and CUDA_VISIBLE_DEVICES there, or give "
           "cpu",
           request.option, rank.host);
    }
    different.insert(rank.host + " " + rank.identity);
  }
  if (request.may_share || different.size() == ranks.size()) return {.cuda = true};
  const std::string text =
      fmt::format("{} ranks on {} GPUs, but a GPU takes one rank", ranks.size(), different.size());
  constexpr const char* remedy =
      "start fewer ranks on each host (mpirun --map-by ppr:N:node; Slurm: --ntasks-per-node), or make more "
      "GPUs visible";
  if (must) fail(ExitCode::options, "{} = cuda: {}: {}, or give cpu", request.option, text, remedy);
  return {.warning = fmt::format("{}: computing on the CPU; to use them, {}", text, remedy)};
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
