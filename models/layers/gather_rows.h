#pragma once

#include "distributed/synchronised_moments.h"

namespace ganymede {

/// The rows of all ranks' images of the micro-batch [total, ...] from this rank's [N, ...], in the order of
/// the images; differentiable to any order. One all-reduce of the result's size, one in every backward.
/// Collective.
at::Tensor gather_rows(const at::Tensor& rows, const GroupLayout& layout, Communicator& communicator);

}  // namespace ganymede
