#include "core/kernels/cuda/kernel_taps.h"

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>

#include "core/kernels/cuda/element_of.h"
#include "core/kernels/cuda/kernel_taps_kernel.h"

namespace ganymede::cuda {
namespace {

/// Appends to a list of the table; throws where it is full.
void append(int& count, int (&list)[TapTable::most_sources], std::int64_t value) {
  TORCH_CHECK(count < TapTable::most_sources, "kernel taps: more than ", TapTable::most_sources, " sources");
  list[count++] = static_cast<int>(value);
}

TapTable table_of(const TapMap& map) {
  TORCH_CHECK(map.phases() * map.outputs() <= TapTable::most_outputs && map.inputs <= TapTable::most_inputs,
              "kernel taps: a map of ", map.inputs, " positions to ", map.phases() * map.outputs());
  TapTable table{};
  table.inputs = static_cast<int>(map.inputs);
  table.outputs = static_cast<int>(map.outputs());
  table.phases = static_cast<int>(map.phases());
  table.factor = map.factor;
  for (std::int64_t phase = 0; phase < map.phases(); ++phase)
    for (std::int64_t t = 0; t < map.outputs(); ++t) {
      const std::int64_t output = phase * map.outputs() + t;
      for (const std::int64_t k : map.sources[static_cast<std::size_t>(phase)][static_cast<std::size_t>(t)]) {
        append(table.sources[output], table.source[output], k);
        append(table.targets[k], table.target[k], output);
      }
    }
  return table;
}

/// `w` and `mapped` as memory; mapped has one element for each that the map makes.
TapPass pass_over(const TapMap& map, const at::Tensor& w, const at::Tensor& mapped, const at::Tensor& sigma) {
  TORCH_CHECK(w.dim() == 3 && w.size(1) == map.inputs && w.is_contiguous() && w.is_cuda(),
              "a dense kernel [O, ", map.inputs, ", I] on a GPU is expected");
  TORCH_CHECK(mapped.is_contiguous() && mapped.device() == w.device() &&
                  mapped.numel() == map.phases() * map.outputs() * w.size(0) * w.size(2) &&
                  std::max(mapped.numel(), w.numel()) < (std::int64_t{1} << 31),
              "kernel taps: shapes");
  TORCH_CHECK(!sigma.defined() || (sigma.numel() == 1 && sigma.device() == w.device() &&
                                   sigma.scalar_type() == w.scalar_type()),
              "kernel taps: sigma is a scalar of the weight's type, beside it");
  TapPass pass{};
  pass.weight = element_of(w.scalar_type());
  pass.type = element_of(mapped.scalar_type());
  pass.taps = table_of(map);
  pass.channels = w.size(0);
  pass.width = w.size(2);
  pass.w = w.const_data_ptr();
  pass.sigma = sigma.defined() ? sigma.const_data_ptr() : nullptr;
  pass.mapped = mapped.data_ptr();
  return pass;
}

}  // namespace

at::Tensor map_taps(const TapMap& map, const at::Tensor& w, const at::Tensor& sigma, at::ScalarType type) {
  const c10::cuda::CUDAGuard guard(w.device());
  at::Tensor out = at::empty({map.phases() * w.size(0), map.outputs(), w.size(2)}, w.options().dtype(type));
  const TapPass pass = pass_over(map, w, out, sigma);
  if (w.numel() > 0) C10_CUDA_CHECK(launch_map_taps(pass, at::cuda::getCurrentCUDAStream()));
  return out;
}

GatheredTaps gather_taps(const TapMap& map, const at::Tensor& g, const at::Tensor& like,
                         const at::Tensor& sigma) {
  const c10::cuda::CUDAGuard guard(like.device());
  TapPass pass = pass_over(map, like, g, sigma);
  GatheredTaps taps{at::empty_like(like), at::zeros({}, like.options().dtype(at::kDouble))};
  if (like.numel() == 0) return taps;
  at::Tensor products = at::empty({gather_blocks(pass)}, like.options().dtype(at::kDouble));
  pass.rows = taps.rows.mutable_data_ptr();
  pass.products = products.mutable_data_ptr<double>();
  C10_CUDA_CHECK(launch_gather_taps(pass, at::cuda::getCurrentCUDAStream()));
  taps.product = products.sum();
  return taps;
}

}  // namespace ganymede::cuda
