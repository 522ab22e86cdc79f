#include "core/host_copy.h"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace ganymede {
namespace {

bool fits(const at::Tensor& memory, const at::Tensor& tensor) {
  return memory.defined() && memory.scalar_type() == tensor.scalar_type() && memory.sizes() == tensor.sizes() &&
         memory.is_pinned() == tensor.is_cuda();
}

at::Tensor room_for(const at::Tensor& tensor) {
  const auto options = at::TensorOptions(tensor.scalar_type()).device(at::kCPU).pinned_memory(tensor.is_cuda());
  return tensor.is_non_overlapping_and_dense() ? at::empty_strided(tensor.sizes(), tensor.strides(), options)
                                               : at::empty(tensor.sizes(), options);
}

}  // namespace

HostCopy::Copied HostCopy::take(const NamedTensors& tensors) {
  Copied copied;
  std::map<std::string, at::Tensor> memory;
  for (const auto& [name, tensor] : tensors) {
    at::Tensor& room = memory[name];
    room = memory_[name];
    if (!fits(room, tensor) || room.strides() != tensor.strides()) room = room_for(tensor);
    room.copy_(tensor.detach(), /*non_blocking=*/true);
    copied.tensors.emplace_back(name, room);
    if (tensor.is_cuda() && !copied.arrived) copied.arrived = std::make_shared<c10::Event>(tensor.device().type());
  }
  if (copied.arrived) {
    const c10::impl::VirtualGuardImpl guard(at::kCUDA);
    copied.arrived->record(guard.getStream(guard.getDevice()));
  }
  memory_ = std::move(memory);
  return copied;
}

std::int64_t HostCopy::bytes() const {
  std::int64_t bytes = 0;
  for (const auto& [name, tensor] : memory_) bytes += static_cast<std::int64_t>(tensor.nbytes());
  return bytes;
}

}  // namespace ganymede
