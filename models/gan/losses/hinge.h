#pragma once

#include "models/gan/loss.h"

namespace ganymede {

/// The hinge loss (Lim and Ye, arXiv 1705.02894; Miyato et al., arXiv 1802.05957, equations 16 and 17):
/// D: max(0, 1 - D(x)) + max(0, 1 + D(G(z))),  G: -D(G(z)).
std::unique_ptr<GanLoss> make_hinge();

}  // namespace ganymede
