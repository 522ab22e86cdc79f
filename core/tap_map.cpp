#include "core/tap_map.h"

#include <ATen/ATen.h>

#include "core/device.h"
#include "core/kernels/cpu/kernel_taps.h"
#include "core/kernels/cuda/kernel_taps.h"

namespace ganymede {
namespace {

double scale_of(const at::Tensor& sigma) {
  return sigma.defined() ? 1 / sigma.item<double>() : 1;
}

}  // namespace

at::Tensor TapMap::matrix(const at::TensorOptions& options) const {
  at::Tensor result = at::zeros({phases() * outputs(), inputs}, at::kDouble);
  for (std::int64_t phase = 0; phase < phases(); ++phase)
    for (std::int64_t t = 0; t < outputs(); ++t)
      for (const std::int64_t k : sources[static_cast<std::size_t>(phase)][static_cast<std::size_t>(t)])
        result[phase * outputs() + t][k] = factor;
  return to_device(result.to(c10::typeMetaToScalarType(options.dtype())), options.device());
}

at::Tensor map_taps(const TapMap& map, const at::Tensor& w, const at::Tensor& sigma, at::ScalarType type) {
  if (w.is_cuda()) return cuda::map_taps(map, w, sigma, type);
  return cpu::map_taps(map, w, scale_of(sigma), type);
}

GatheredTaps gather_taps(const TapMap& map, const at::Tensor& g, const at::Tensor& like,
                         const at::Tensor& sigma) {
  if (like.is_cuda()) return cuda::gather_taps(map, g, like, sigma);
  return cpu::gather_taps(map, g, like, scale_of(sigma));
}

}  // namespace ganymede
