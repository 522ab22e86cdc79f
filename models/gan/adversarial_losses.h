#pragma once

#include <ATen/TensorOperators.h>

namespace ganymede {

/// This rank's part of a step's figures, as sums over micro-batches and updates.
struct AdversarialLosses {
  at::Tensor discriminator, generator, penalty, regularisers, real_logit, fake_logit, path_length,
      path_penalty;
  std::int64_t penalised = 0;  ///< updates of D

  /// sum += part, on the device.
  static void add(at::Tensor& sum, const at::Tensor& part) {
    const at::Tensor figure = part.detach().to(at::kDouble);
    sum = sum.defined() ? sum + figure : figure;
  }
};

}  // namespace ganymede
