#pragma once

#include "models/gan/auxiliary.h"

namespace ganymede {

/// The auxiliary classifier (Odena et al., arXiv 1610.09585, equations 2 and 3): both players want D's head to tell
/// the class c of an image, with the cost L_C = -log P(c | x) in nats.
/// D: real_weight L_C(x) + fake_weight L_C(G(z, c)),  G: generator_weight L_C(G(z, c)); all 1 in the paper.
/// G is told the class and D is not. Reports "class_real" and "class_fake", the shares of images whose class D finds.
std::unique_ptr<GanAuxiliary> make_acgan();

}  // namespace ganymede
