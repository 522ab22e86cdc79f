#pragma once

#include "models/layers/exchange.h"
#include "models/layers/forward_context.h"

namespace ganymede {

/// Minibatch standard deviation (Karras et al., arXiv 1710.10196, section 3): of each group of `group`
/// consecutive images of the micro-batch, wherever they lie, one number
///
///     s = mean over C, H, W of sqrt(variance over the group of x[:, c, h, w] + eps)
///
/// which each of its images gets as one channel more: x [N, C, H, W] -> [N, C + 1, H, W]. Each part of x
/// (ForwardContext::parts) has groups of its own. `group` divides the micro-batch; 0 is all of it.
/// Differentiable to any order. Collective where groups straddle ranks: one all-reduce of 2 C H W float64
/// numbers a group forward, one of x's type in each backward; then every rank must call it.
at::Tensor append_minibatch_deviation(const at::Tensor& x, std::int64_t group, const ForwardContext& context,
                                      double eps = 1e-8);

/// What that sends where an image's map has C H W = `numbers` numbers: nothing while each group lies on one rank.
std::vector<Exchange> deviation_exchanges(std::int64_t numbers, std::int64_t group, const GroupLayout& layout,
                                          int ranks);

}  // namespace ganymede
