#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <string>

namespace ganymede {

/// How weights begin: "orthogonal" (Saxe et al., arXiv 1312.6120: rows or columns orthonormal, W seen as
/// [out, rest]), "n02" (normal, standard deviation 0.02), "xavier" (uniform in +-sqrt(6 / (fan in + fan
/// out))).
///
/// Fills every Weighted layer of the network: weight by `kind`, times its gain (an equalised one N(0, 1) / rate), bias
/// to its start, u a random unit vector. A buffer "noise" and a ReferenceBatch become standard normal; other parameters
/// and buffers keep what their module gave them. The draws depend on (seed, name of the tensor) alone.
void initialise(torch::nn::Module& network, const std::string& kind, std::uint64_t seed);

}  // namespace ganymede
