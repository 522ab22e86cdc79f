#pragma once

#include "models/gan/network.h"

namespace ganymede {

/// Adds the gradient of
///
///     beta / 2 |W W^T * (1 - I)|^2   (Frobenius norm, * elementwise, W [out, rest])
///
/// to that of each of the network's weights but the class embedding: 2 beta (W W^T * (1 - I)) W. That is half
/// of BigGAN's regulariser (Brock et al., arXiv 1809.11096, equation 3), with rows in the place of columns,
/// as the authors' program computes it. After the reducer's finalize(): it is the same on every rank.
void add_orthogonal_gradient(Network& network, double beta);

}  // namespace ganymede
