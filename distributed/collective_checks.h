#pragma once

#include <ATen/core/Tensor.h>

#include <span>

namespace ganymede {

/// What every backend asks of its tensors, so that one rank refuses what many would refuse. Throws
/// c10::Error unless the tensor is dense and float32, float64, int64 or uint8.
void check_collective(const at::Tensor& tensor);

/// reduce_scatter and all_gather: `whole` is `ranks` times `part`, of one type.
void check_parts(const at::Tensor& whole, const at::Tensor& part, int ranks);

/// Whether `part` is `rank`'s part of `whole` itself.
bool is_part_of(const at::Tensor& whole, const at::Tensor& part, int rank);

/// broadcast: the root is a rank.
void check_root(int root, int ranks);

/// Of the largest tensor: what WaitObserver::enter is told.
std::int64_t largest_bytes(std::span<const at::Tensor> tensors);

}  // namespace ganymede
