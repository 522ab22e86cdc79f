#include "models/layers/instance_norm.h"

#include <ATen/ATen.h>

namespace ganymede {

at::Tensor instance_norm(const at::Tensor& x, Activation activation, double eps) {
  static const std::unique_ptr<Communicator> alone = make_single_communicator();
  const at::TensorOptions options =
      x.options().dtype(x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  return normalise_batch(x, at::ones({1, x.size(1)}, options), at::zeros({1, x.size(1)}, options),
                         {eps, activation}, {0, x.size(0), 1}, *alone)
      .y;
}

}  // namespace ganymede
