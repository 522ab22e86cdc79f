#include "core/error.h"
#include "core/kernels/cuda/adam.h"

namespace ganymede::cuda {
namespace {

[[noreturn]] void refuse() {
  fail(ExitCode::options, "this build has no CUDA kernels: build the preset cuda, or run on the CPU");
}

}  // namespace

void adam_step(const AdamStep&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
               const std::vector<EmaTarget>&, const at::Tensor&) {
  refuse();
}

}  // namespace ganymede::cuda
