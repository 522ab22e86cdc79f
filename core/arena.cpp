#include "core/arena.h"

#include <ATen/ATen.h>
#include <c10/core/MemoryFormat.h>

namespace ganymede {
namespace {

std::vector<std::int64_t> strides_of(at::IntArrayRef shape) {
  if (shape.size() == 4) return c10::get_channels_last_strides_2d(shape);
  const auto strides = c10::contiguous_strides(shape);
  return {strides.begin(), strides.end()};
}

}  // namespace

ArenaLayout::ArenaLayout(const NamedTensors& tensors, at::ScalarType dtype, std::int64_t parts)
    : dtype_(dtype) {
  const std::int64_t unit = alignment_bytes / static_cast<std::int64_t>(c10::elementSize(dtype));
  for (const auto& [name, tensor] : tensors) {
    const auto shape = tensor.sizes();
    const std::vector<std::int64_t> strides = strides_of(shape);
    entries_.push_back({name, shape.vec(), strides, size_});
    size_ += (tensor.numel() + unit - 1) / unit * unit;
  }
  size_ = (size_ + parts * unit - 1) / (parts * unit) * (parts * unit);
}

at::Tensor ArenaLayout::allocate(at::Device device) const {
  return at::zeros({size_}, at::TensorOptions(dtype_).device(device));
}

NamedTensors ArenaLayout::views(const at::Tensor& arena) const {
  NamedTensors views;
  for (const Entry& entry : entries_)
    views.emplace_back(entry.name, arena.as_strided(entry.shape, entry.strides, entry.offset));
  return views;
}

std::vector<std::int64_t> ArenaLayout::offsets() const {
  std::vector<std::int64_t> offsets;
  for (const Entry& entry : entries_) offsets.push_back(entry.offset);
  return offsets;
}

}  // namespace ganymede
