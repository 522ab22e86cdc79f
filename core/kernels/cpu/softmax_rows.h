#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede::cpu {

/// x [..., T], dense, of any floating type, becomes softmax(x) over T. Sums are float32, float64 for float64 x; what is
/// more than 87 below a row's largest becomes 0. libtorch's takes two to six times as long for the short rows of small
/// maps' attention in bfloat16. No autograd operation.
void softmax_rows(at::Tensor& x);

}  // namespace ganymede::cpu
