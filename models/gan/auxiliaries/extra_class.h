#pragma once

#include "models/gan/auxiliary.h"

namespace ganymede {

/// A discriminator of C + 1 classes, the last of them "generated" (Salimans et al., arXiv 1606.03498, section 5). With
/// the head's outputs l_1 .. l_C and the body's own logit as minus that of the last class,
///
///     D(x) = sum over c of exp l_c / (sum over c of exp l_c + exp(-logit)),
///
/// so that the adversarial loss's logit is logit + log sum exp l_c. D's cost has weight times -log P(c | x, x is real)
/// of real images; G has none beside the adversarial loss (or gan.feature_matching, as in the paper). The loss must be
/// one of probabilities. Reports "class_real", the share of real images whose class D finds.
std::unique_ptr<GanAuxiliary> make_extra_class();

}  // namespace ganymede
