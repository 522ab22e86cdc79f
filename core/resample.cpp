#include "core/resample.h"

#include "core/kernels/cpu/resample.h"
#include "core/kernels/cuda/resample.h"

namespace ganymede {

at::Tensor resample(const at::Tensor& x, const AxisResampling& rows, const AxisResampling& columns) {
  return x.is_cuda() ? cuda::resample(x.contiguous(x.suggest_memory_format()), rows, columns)
                     : cpu::resample(x.contiguous(at::MemoryFormat::ChannelsLast), rows, columns);
}

}  // namespace ganymede
