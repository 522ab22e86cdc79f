#pragma once

#include "distributed/synchronised_moments.h"

namespace ganymede {

/// What follows a normalisation in the same pass over memory.
enum class Activation { none, relu };

struct Normalisation {
  double eps = 1e-5;
  Activation activation = Activation::none;
};

struct Normalised {
  at::Tensor y;          ///< like x
  GroupMoments moments;  ///< of the batch, in float32 (float64 for float64), without a graph
};

/// Batch normalisation of x [N, C, H, W] over the groups of `layout`, wherever their images lie, with a gain
/// and a bias [1, C] or, one row an image, [N, C], of float32 (float64 for float64 x):
///
///     y = activation((x - mean) / sqrt(variance + eps) * gain + bias)
///
/// x may be bfloat16: all sums and figures of channels are float32 or better. Two passes over x forward, two
/// over x and the gradient backward; one collective of 2 G C float64 numbers forward, and one of as many of
/// the moments' type backward. Differentiable to any order (from the second on in plain operations, with
/// collectives of their own). Every rank must call it, N >= 1.
Normalised normalise_batch(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias,
                           const Normalisation& normalisation, const GroupLayout& layout,
                           Communicator& communicator);

/// The same with given moments [1, C], constants to autograd. No collective.
at::Tensor normalise_with(const GroupMoments& moments, const at::Tensor& x, const at::Tensor& gain,
                          const at::Tensor& bias, const Normalisation& normalisation);

}  // namespace ganymede
