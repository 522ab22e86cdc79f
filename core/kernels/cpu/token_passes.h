#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede::cpu {

/// Passes over tokens x [N, L, C], dense, of any floating type, with figures [N, C] of float32 (float64 for float64 x).
/// Sums over a token are of the figures' type, those over an image's tokens float64. None is an autograd operation.

/// n (1 + scale) + shift, n = (x - mean) / sqrt(variance + eps) with the moments of each token over C.
at::Tensor modulate_norm(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift, double eps);

struct ModulatedNormGradient {
  at::Tensor x;     ///< like x
  at::Tensor sums;  ///< [2, N, C] float64: of g n and of g over an image's tokens
};

/// What the gradient g of modulate_norm's result, like x, comes to: reads both once.
ModulatedNormGradient modulate_norm_gradient(const at::Tensor& g, const at::Tensor& x,
                                             const at::Tensor& scale, double eps);

/// x + gate branch, branch like x.
at::Tensor gate_sum(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& branch);

struct GatedSumGradient {
  at::Tensor branch;  ///< like branch
  at::Tensor gate;    ///< [N, C] float64
};

/// The gradients of gate_sum but that of x, which is g itself.
GatedSumGradient gate_sum_gradient(const at::Tensor& g, const at::Tensor& gate, const at::Tensor& branch);

}  // namespace ganymede::cpu
