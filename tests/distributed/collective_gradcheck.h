#pragma once

#include <functional>
#include <vector>

#include "tests/distributed/world.h"

namespace ganymede::test {

/// This rank's part of a loss that is summed over ranks. Collective; of float64 leaves that require
/// gradients.
using LossPart = std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>;

/// Gradients of the loss (the sum of all parts) by central differences, against autograd's: one element on
/// one rank is moved at a time and all ranks evaluate. Inputs may have other sizes on other ranks. Returns
/// the largest difference over the largest gradient, the same on all ranks. Collective.
double gradient_error(const LossPart& part, const std::vector<at::Tensor>& inputs);

/// The same for second derivatives: of the loss's gradient times fixed random directions, a scalar whose own
/// gradient is the Hessian's product with them.
double second_gradient_error(const LossPart& part, const std::vector<at::Tensor>& inputs);

}  // namespace ganymede::test
