#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// A number that tells a tensor from any that differs in one bit, of its elements as they lie in memory: XXH3-64 of the
/// bytes; on a GPU the sum of the elements taken as integers. int64, a scalar on the tensor's device, which may still be
/// at work on it. The tensor is dense. Reads it once.
at::Tensor digest_of(const at::Tensor& tensor);

/// The same of each tensor[i], which lie one behind the other in memory: [tensor.size(0)].
at::Tensor digests_of_rows(const at::Tensor& tensor);

}  // namespace ganymede
