#include "models/layers/time_embedding.h"

#include <ATen/ATen.h>

namespace ganymede {

TimeEmbedding::TimeEmbedding(std::int64_t in, std::int64_t out) {
  first_ = register_module("linear_1", std::make_shared<Linear>(in, out, WeightOptions{}));
  second_ = register_module("linear_2", std::make_shared<Linear>(out, out, WeightOptions{}));
}

at::Tensor TimeEmbedding::forward(const at::Tensor& x) {
  return second_->forward(at::silu(first_->forward(x)));
}

}  // namespace ganymede
