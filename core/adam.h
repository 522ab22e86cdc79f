#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace ganymede {

/// One Adam step over flat arenas (Kingma and Ba, arXiv 1412.6980, algorithm 1):
///
///     m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2
///     w = (1 - lr weight_decay) w - lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps)
///
/// (weight decay apart from the gradient: Loshchilov and Hutter, arXiv 1711.05101, algorithm 2, as PyTorch's AdamW)
/// and, in the same pass over memory, each exponential moving average: e = e + (1 - decay) (w - e).
struct AdamStep {
  double lr = 0;
  double beta1 = 0;
  double beta2 = 0;
  double eps = 0;
  std::int64_t t = 1;         ///< this update's number, from 1
  double gradient_scale = 1;  ///< g is multiplied by it first (clipping)
  double weight_decay = 0;
};

struct EmaTarget {
  at::Tensor average;  ///< an arena of the same layout
  double decay = 0;    ///< 0 copies
};

/// weights, gradient, m, v and averages: dense, float32 or float64 alike, of one size, on one device; at most
/// four averages on a CUDA device.
///
/// `gate`, float64 [2] beside the arenas, is for steps that only the device knows to be good:
/// unless gate[0] is 0 nothing changes, and t counts gate[1] updates less, those that were left out.
void adam_step(const AdamStep& step, const at::Tensor& weights, const at::Tensor& gradient,
               const at::Tensor& m, const at::Tensor& v, const std::vector<EmaTarget>& averages,
               const at::Tensor& gate = {});

}  // namespace ganymede
