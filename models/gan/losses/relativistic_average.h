#pragma once

#include "models/gan/loss.h"

namespace ganymede {

/// The relativistic average loss (Jolicoeur-Martineau, arXiv 1807.00734, RaSGAN), in nats: D judges
/// whether an image is more real than the average one of the other kind,
///
///     r = C(x) - E C(G(z)),  f = C(G(z)) - E C(x),
///     D: -log sigma(r) - log(1 - sigma(f)),  G: -log sigma(f) - log(1 - sigma(r)),
///
/// in G's update with x a fresh batch of real images. The averages E are over the micro-batch: all images of a
/// global batch where train.accumulate is 1. They are part of what is differentiated.
std::unique_ptr<GanLoss> make_relativistic_average();

}  // namespace ganymede
