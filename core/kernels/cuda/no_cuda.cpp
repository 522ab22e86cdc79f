#include "core/error.h"
#include "core/kernels/cuda/activation.h"
#include "core/kernels/cuda/adam.h"
#include "core/kernels/cuda/channel_passes.h"
#include "core/kernels/cuda/kernel_taps.h"
#include "core/kernels/cuda/pixels.h"
#include "core/kernels/cuda/resample.h"

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

at::Tensor activation(const at::Tensor&, const at::Tensor&, const ActivationFigures&) {
  refuse();
}

at::Tensor activation_gradient(const at::Tensor&, const at::Tensor&, const ActivationFigures&) {
  refuse();
}

at::Tensor image_sums(const at::Tensor&) {
  refuse();
}

at::Tensor scale_shift(const at::Tensor&, const at::Tensor&, const at::Tensor&, bool) {
  refuse();
}

at::Tensor gradient_sums(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                         const at::Tensor&, bool) {
  refuse();
}

at::Tensor input_gradient(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                          const at::Tensor&, const at::Tensor&, bool) {
  refuse();
}

at::Tensor map_taps(const TapMap&, const at::Tensor&, const at::Tensor&, at::ScalarType) {
  refuse();
}

GatheredTaps gather_taps(const TapMap&, const at::Tensor&, const at::Tensor&, const at::Tensor&) {
  refuse();
}

at::Tensor images_of_bytes(const at::Tensor&, const at::Tensor&, at::ScalarType) {
  refuse();
}

at::Tensor resample(const at::Tensor&, const AxisResampling&, const AxisResampling&) {
  refuse();
}

}  // namespace ganymede::cuda
