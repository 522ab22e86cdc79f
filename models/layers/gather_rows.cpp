#include "models/layers/gather_rows.h"

#include <ATen/ATen.h>

namespace ganymede {

at::Tensor gather_rows(const at::Tensor& rows, const GroupLayout& layout, Communicator& communicator) {
  std::vector<std::int64_t> padding(static_cast<std::size_t>(2 * rows.dim()), 0);
  padding[padding.size() - 2] = layout.first;
  padding[padding.size() - 1] = layout.total - layout.first - rows.size(0);
  return all_reduce_sum(at::constant_pad_nd(rows, padding), communicator);
}

}  // namespace ganymede
