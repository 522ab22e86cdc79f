#pragma once

#include <string>
#include <vector>

#include "core/named_tensors.h"

namespace ganymede {

/// Where each of a list of tensors lies in one flat tensor: registration order, each start aligned to 64
/// bytes, so that passes over all of them (optimiser, EMA, reduction, norm) are passes over one array.
/// Four-dimensional tensors lie in channels_last order, the one that convolutions want.
class ArenaLayout {
 public:
  static constexpr std::int64_t alignment_bytes = 64;

  /// The layout of tensors with these names and shapes, elements of `dtype`, padded at its end so that it can be cut
  /// into so many even, aligned parts.
  ArenaLayout(const NamedTensors& tensors, at::ScalarType dtype, std::int64_t parts = 1);

  /// A zeroed arena of this layout: padding stays zero, so that sums and norms may run over it.
  at::Tensor allocate(at::Device device = at::kCPU) const;
  /// The tensors inside `arena`, by name: views, with the shapes given at construction.
  NamedTensors views(const at::Tensor& arena) const;
  /// First elements, in order.
  std::vector<std::int64_t> offsets() const;
  /// Elements, padding included.
  std::int64_t size() const { return size_; }
  at::ScalarType dtype() const { return dtype_; }

 private:
  struct Entry {
    std::string name;
    std::vector<std::int64_t> shape, strides;
    std::int64_t offset;
  };
  std::vector<Entry> entries_;
  std::int64_t size_ = 0;
  at::ScalarType dtype_;
};

}  // namespace ganymede
