#include "models/layers/weighted.h"

namespace ganymede {
namespace {

at::Tensor normalised(const at::Tensor& x, double eps) {
  return x / x.norm().clamp_min(eps);
}

WeightOptions without_bias(WeightOptions options) {
  options.bias = false;
  return options;
}

}  // namespace

Weighted::Weighted(at::IntArrayRef shape, const WeightOptions& options) : eps_(options.eps) {
  weight_ = register_parameter("weight", at::empty(shape));
  if (options.bias) bias_ = register_parameter("bias", at::empty({shape[0]}));
  if (options.spectral_norm) u_ = register_buffer("u", at::empty({shape[0]}));
}

at::Tensor Weighted::matrix() const {
  // In channels_last order the columns are a permutation of the row-major ones: sigma does not mind.
  return weight_.dim() == 4 ? weight_.permute({0, 2, 3, 1}).flatten(1) : weight_.flatten(1);
}

void Weighted::iterate(bool update) {
  if (!u_.defined()) return;
  const at::NoGradGuard no_grad;
  const at::Tensor w = matrix();
  right_ = normalised(at::mv(w.t(), u_), eps_);
  left_ = normalised(at::mv(w, right_), eps_);
  if (update) u_.copy_(left_);
}

at::Tensor Weighted::effective_weight() {
  if (!u_.defined()) return weight_;
  if (!left_.defined()) iterate(false);
  return weight_ / at::dot(left_, at::mv(matrix(), right_));
}

Conv2d::Conv2d(std::int64_t in, std::int64_t out, std::int64_t kernel, const WeightOptions& options)
    : Weighted({out, in, kernel, kernel}, options) {}

at::Tensor Conv2d::forward(const at::Tensor& x) {
  const std::int64_t padding = weight().size(2) / 2;
  return at::conv2d(x, effective_weight(), bias(), 1, padding);
}

Linear::Linear(std::int64_t in, std::int64_t out, const WeightOptions& options)
    : Weighted({out, in}, options) {}

at::Tensor Linear::forward(const at::Tensor& x) {
  return at::linear(x, effective_weight(), bias());
}

Embedding::Embedding(std::int64_t count, std::int64_t width, const WeightOptions& options)
    : Weighted({count, width}, without_bias(options)) {}

at::Tensor Embedding::forward(const at::Tensor& labels) {
  return at::embedding(effective_weight(), labels);
}

}  // namespace ganymede
