#pragma once

#include "core/resample.h"

namespace ganymede::cuda {

/// core/resample.h on a CUDA device, of x in contiguous or channels_last order (checked), images of less than 2^31
/// values before and after. Each value is summed in the order in which the CPU sums it. Throws Error(options) in a
/// build without CUDA (no_cuda.cpp).
///
/// Bytes moved: x read once, but for what neighbours share and caches hold; the result written once.
at::Tensor resample(const at::Tensor& x, const AxisResampling& rows, const AxisResampling& columns);

}  // namespace ganymede::cuda
