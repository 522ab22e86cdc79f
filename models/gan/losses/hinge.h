#pragma once

#include "models/gan/loss.h"

namespace ganymede {

/// The hinge loss (Lim and Ye, arXiv 1705.02894; Miyato et al., arXiv 1802.05957, equations 16 and 17):
/// D: max(0, 1 - D(x)) + max(0, 1 + D(G(z))),  G: -D(G(z)).
namespace hinge_parts {
at::Tensor real(const at::Tensor& logits);
at::Tensor fake(const at::Tensor& logits);
at::Tensor generator(const at::Tensor& logits);
}  // namespace hinge_parts

inline constexpr GanLoss hinge{"hinge", hinge_parts::real, hinge_parts::fake, hinge_parts::generator};

}  // namespace ganymede
