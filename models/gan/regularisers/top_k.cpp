#include "models/gan/regularisers/top_k.h"

#include <ATen/ATen.h>

#include <cmath>

#include "models/layers/gather_rows.h"

namespace ganymede {

void TopKOptions::describe(OptionSchema& schema) {
  schema.add("gan.top_k", share, "", {0.001, 1},
             "share of generated images, those most real to D, that G learns from in the end; 1 for all");
  schema.add("gan.top_k_decay", decay, "", {0, 1}, "factor by which that share falls at a time");
  schema.add("gan.top_k_every", every, "steps", {1, 1e9}, "how often it falls: an epoch in the paper");
}

std::int64_t TopKOptions::k(std::int64_t step, std::int64_t total) const {
  const double annealed = std::pow(decay, static_cast<double>((step - 1) / every));
  const double images = std::max(annealed, share) * static_cast<double>(total);
  return std::max<std::int64_t>(1, std::llround(images));
}

at::Tensor top_k_weights(const at::Tensor& logits, std::int64_t k, const GroupLayout& layout,
                         Communicator& communicator) {
  const at::Tensor all = gather_rows(logits.detach(), layout, communicator);
  const at::Tensor best = all.argsort(/*stable=*/true, /*dim=*/0, /*descending=*/true).slice(0, 0, k);
  at::Tensor weights = at::zeros_like(all);
  weights.index_fill_(0, best, static_cast<double>(layout.total) / static_cast<double>(k));
  return weights.narrow(0, layout.first, logits.size(0));
}

}  // namespace ganymede
