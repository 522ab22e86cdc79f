#include "core/kernels/cuda/pixels.h"

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>

#include "core/kernels/cuda/element_of.h"
#include "core/kernels/cuda/pixels_kernel.h"

namespace ganymede::cuda {

at::Tensor images_of_bytes(const at::Tensor& bytes, const at::Tensor& flips, at::ScalarType type) {
  TORCH_CHECK(bytes.is_cuda() && bytes.dim() == 4 && bytes.scalar_type() == at::kByte &&
                  bytes.is_contiguous() && bytes.numel() < (std::int64_t{1} << 31),
              "bytes [N, C, H, W] on a GPU are expected");
  TORCH_CHECK(flips.device() == bytes.device() && flips.scalar_type() == at::kBool && flips.is_contiguous() &&
                  flips.numel() == bytes.size(0),
              "a flip an image is expected");
  const c10::cuda::CUDAGuard guard(bytes.device());
  at::Tensor images = at::empty(bytes.sizes(), bytes.options().dtype(type), at::MemoryFormat::ChannelsLast);
  if (bytes.numel() == 0) return images;
  const PixelPass pass{element_of(type),
                       bytes.size(0),
                       bytes.size(1),
                       bytes.size(2),
                       bytes.size(3),
                       bytes.const_data_ptr<std::uint8_t>(),
                       flips.const_data_ptr<bool>(),
                       images.mutable_data_ptr()};
  C10_CUDA_CHECK(launch_pixels(pass, at::cuda::getCurrentCUDAStream()));
  return images;
}

}  // namespace ganymede::cuda
