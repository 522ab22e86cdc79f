#pragma once

#include "models/gan/loss.h"

namespace ganymede {

/// The non-saturating logistic loss (Goodfellow et al., arXiv 1406.2661, section 3), in nats:
/// D: softplus(-D(x)) + softplus(D(G(z))),  G: softplus(-D(G(z))).
namespace logistic_parts {
at::Tensor real(const at::Tensor& logits);
at::Tensor fake(const at::Tensor& logits);
at::Tensor generator(const at::Tensor& logits);
}  // namespace logistic_parts

inline constexpr GanLoss logistic{"logistic", logistic_parts::real, logistic_parts::fake,
                                  logistic_parts::generator};

}  // namespace ganymede
