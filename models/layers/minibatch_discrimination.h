#pragma once

#include "models/layers/exchange.h"
#include "models/layers/forward_context.h"
#include "models/layers/weighted.h"

namespace ganymede {

/// Minibatch discrimination (Salimans et al., arXiv 1606.03498, section 3.2): each image's features get, for each of
/// `kernels` kernels b, how near the other images of its group are,
///
///     o(x_i)_b = sum over j of exp(-|M_i,b - M_j,b|_1),  M = T x with M_i,b of `width` numbers,
///
/// j = i included. A group is `group` consecutive images of the micro-batch, wherever they lie, of one part
/// (ForwardContext::parts); `group` divides the micro-batch, 0 is all of it. Parameter "t.weight" [kernels width, A].
class MinibatchDiscrimination final : public torch::nn::Module {
 public:
  MinibatchDiscrimination(std::int64_t features, std::int64_t kernels, std::int64_t width,
                          std::int64_t group);
  /// x [N, A] -> [N, A + kernels]. Differentiable to any order. Collective where groups straddle ranks: one all-reduce
  /// of all M of the micro-batch, and one in each backward.
  at::Tensor forward(const at::Tensor& x, const ForwardContext& context);
  /// What that sends: nothing while each group lies on one rank.
  std::vector<Exchange> exchanges(const GroupLayout& layout, int ranks) const;

 private:
  std::int64_t kernels_, group_;
  std::shared_ptr<Linear> t_;
};

}  // namespace ganymede
