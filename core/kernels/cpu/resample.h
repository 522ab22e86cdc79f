#pragma once

#include "core/resample.h"

namespace ganymede::cpu {

/// core/resample.h on the CPU, of x in channels_last order (checked).
at::Tensor resample(const at::Tensor& x, const AxisResampling& rows, const AxisResampling& columns);

}  // namespace ganymede::cpu
