#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/pickle.h"
#include "core/tensor_type.h"

namespace ganymede {

/// What torch.save says of tensors in its pickle: a tensor is a call of torch._utils._rebuild_tensor_v2 with
/// a storage's persistent id, an offset, a shape and strides; the storages' bytes lie outside the pickle.

/// A run of numbers outside the pickle.
struct TorchStorage {
  at::ScalarType dtype = at::kFloat;
  std::int64_t numel = 0;

  bool operator==(const TorchStorage&) const = default;
};

/// A view of a storage. Element (i, j, ...) is number offset + i strides[0] + j strides[1] + ... of it.
struct TorchTensor {
  TensorType type;
  std::vector<std::int64_t> strides;  ///< in elements, none negative
  std::int64_t offset = 0;            ///< in elements
  std::string storage;                ///< its key

  /// Elements from the first to the last, both included; 0 for an empty tensor.
  std::int64_t extent() const;
};

/// The functions that such a pickle may name, for Pickle::parse.
std::span<const std::string_view> torch_symbols();

/// Every storage that the pickle refers to, by its key. Throws Error(`checkpoint`), beginning with `where`,
/// where a reference is not understood or two of one key disagree.
std::map<std::string, TorchStorage> torch_storages(const Pickle& pickle, const std::string& where);

/// Every tensor, by its path through dicts (keys of text and integers), lists and tuples (positions), joined
/// with dots; a tensor that is not in any is "tensor". What is no tensor is passed over. Throws
/// Error(`checkpoint`), beginning with `where`: on a tensor that reaches beyond its storage, under a key of
/// another kind, or named like another; on nesting deeper than 64; and where shared parts would make far
/// more names than the pickle has bytes.
std::map<std::string, TorchTensor> torch_tensors(const Pickle& pickle, const std::string& where);

}  // namespace ganymede
