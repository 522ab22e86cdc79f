#include "models/gan/regularisers/orthogonal.h"

#include <ATen/ATen.h>

#include "models/layers/weighted.h"

namespace ganymede {
namespace {

/// (W W^T - diag(W W^T)) W, by way of the smaller of W W^T and W^T W.
at::Tensor gradient_of(const at::Tensor& w) {
  if (w.size(0) > w.size(1))
    return at::mm(w, at::mm(w.t(), w)).addcmul_(w, w.square().sum(1, true), -1);
  at::Tensor products = at::mm(w, w.t());
  products.fill_diagonal_(0);
  return at::mm(products, w);
}

}  // namespace

void add_orthogonal_gradient(Network& network, double beta) {
  if (beta == 0) return;
  const at::NoGradGuard no_grad;
  for (const auto& module : network.modules()) {
    const auto* layer = dynamic_cast<const Weighted*>(module.get());
    // The class embedding is a table, not a map: its rows need not be orthogonal.
    if (!layer || dynamic_cast<const Embedding*>(layer)) continue;
    const at::Tensor w = layer->weight().flatten(1);
    layer->weight().grad().add_(gradient_of(w).view(layer->weight().sizes()), 2 * beta);
  }
}

}  // namespace ganymede
