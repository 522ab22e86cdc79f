#pragma once

#include "models/layers/weighted.h"

namespace ganymede {

/// Two linear maps with a SiLU between them, "linear_1" and "linear_2": what makes an embedding of the
/// sinusoids of a time. x [N, in] -> [N, out].
class TimeEmbedding : public torch::nn::Module {
 public:
  TimeEmbedding(std::int64_t in, std::int64_t out);
  at::Tensor forward(const at::Tensor& x);

 private:
  std::shared_ptr<Linear> first_, second_;
};

}  // namespace ganymede
