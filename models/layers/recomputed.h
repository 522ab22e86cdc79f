#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace ganymede {

using BlockForward = std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>;

/// block(inputs), of which nothing but the inputs is kept: the block runs again when its gradient is due, so that maps cost
/// memory of one block at a time, and a forward more (Chen et al., arXiv 1604.06174). Inputs may be undefined; where
/// gradients are recorded, one of them must need one.
///
/// `block` is called again during the backward pass: it must then give the same, draw from keys alone, change no buffer, and
/// hold nothing by reference that has ended by then. Gradients of its weights are accumulated as any other block's; only
/// backward() reaches them, not autograd::grad().
at::Tensor recomputed(BlockForward block, const std::vector<at::Tensor>& inputs);

}  // namespace ganymede
