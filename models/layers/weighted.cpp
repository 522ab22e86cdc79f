#include "models/layers/weighted.h"

#include <ATen/ATen.h>

#include <cmath>

#include "models/layers/convolution.h"

namespace ganymede {
namespace {

at::Tensor normalised(const at::Tensor& x, double eps) {
  return x / x.norm().clamp_min(eps);
}

WeightOptions without_bias(WeightOptions options) {
  options.bias = false;
  return options;
}

/// [out, rest]: in channels_last order the columns are a permutation of the row-major ones; sigma does not
/// mind.
at::Tensor matrix_of(const at::Tensor& weight) {
  return weight.dim() == 4 ? weight.permute({0, 2, 3, 1}).flatten(1) : weight.flatten(1);
}

}  // namespace

Weighted::Weighted(at::IntArrayRef shape, const WeightOptions& options)
    : Weighted(shape, shape[0], options) {}

Weighted::Weighted(at::IntArrayRef shape, std::int64_t outputs, const WeightOptions& options)
    : options_(options) {
  weight_ = register_parameter("weight", at::empty(shape));
  if (options.bias) bias_ = register_parameter("bias", at::empty({outputs}));
  if (options.spectral_norm) u_ = register_buffer("u", at::empty({outputs}));
  TORCH_CHECK(outputs == shape[0] || !(options.equalised || options.spectral_norm),
              "the weight's first axis is not the outputs'");
  TORCH_CHECK(!(options.equalised && options.spectral_norm), "an equalised weight has no spectral norm");
}

at::Tensor Weighted::constant_sigma() const {
  const double fan_in = static_cast<double>(weight_.numel() / weight_.size(0));
  return at::full({}, std::sqrt(fan_in) / (options_.gain * options_.rate), weight_.options());
}

void Weighted::begin_phase(bool update) {
  made_.reset();
  made_version_ = weight_._version();
  if (!u_.defined()) return;
  const at::NoGradGuard no_grad;
  const at::Tensor w = matrix_of(weight_);
  spectral_.v = normalised(at::mv(w.t(), u_), options_.eps);
  const at::Tensor product = at::mv(w, spectral_.v);
  spectral_.u = normalised(product, options_.eps);
  spectral_.sigma = at::dot(spectral_.u, product);
  if (update) u_.copy_(spectral_.u);
}

at::Tensor Weighted::effective_weight(at::ScalarType type, WeightForm form) {
  const bool scaled = u_.defined() || options_.equalised;
  if (!scaled && form == WeightForm::plain && type == weight_.scalar_type()) return weight_;
  if (u_.defined() && !spectral_.u.defined()) begin_phase(false);
  const bool current = made_.defined() && made_form_ == form && made_.scalar_type() == type &&
                       made_version_ == weight_._version();
  if (!current) {
    const at::NoGradGuard no_grad;
    // Of the weight that begin_phase() saw it is known.
    if (u_.defined() && made_version_ != weight_._version())
      spectral_.sigma = at::dot(spectral_.u, at::mv(matrix_of(weight_), spectral_.v));
    if (options_.equalised) spectral_.sigma = constant_sigma();
    made_ = make_weight(weight_, form, spectral_, type);
    made_form_ = form;
    made_version_ = weight_._version();
  }
  return use_weight(weight_, form, spectral_, made_);
}

at::Tensor Weighted::effective_bias(at::ScalarType type) const {
  if (!bias_.defined()) return bias_;
  return (options_.rate == 1 ? bias_ : bias_ * options_.rate).to(type);
}

void begin_phase(torch::nn::Module& network, bool update) {
  for (const auto& module : network.modules())
    if (auto* layer = dynamic_cast<Weighted*>(module.get())) layer->begin_phase(update);
}

Conv2d::Conv2d(std::int64_t in, std::int64_t out, std::int64_t kernel, const WeightOptions& options)
    : Weighted({out, in, kernel, kernel}, options) {}

at::Tensor Conv2d::forward(const at::Tensor& x) {
  const at::ScalarType type = x.scalar_type();
  return convolution(x, effective_weight(type), effective_bias(type), 1, weight().size(2) / 2);
}

at::Tensor Conv2d::forward_apart(const std::vector<at::Tensor>& maps) {
  const at::Tensor weight = effective_weight(maps.front().scalar_type());
  at::Tensor sum;
  std::int64_t from = 0;
  for (const at::Tensor& map : maps) {
    const at::Tensor bias = from == 0 ? effective_bias(map.scalar_type()) : at::Tensor();
    const at::Tensor part = convolution(map, weight.narrow(1, from, map.size(1)), bias, 1, weight.size(2) / 2);
    sum = sum.defined() ? sum.add_(part) : part;
    from += map.size(1);
  }
  TORCH_CHECK(from == weight.size(1), "maps of ", from, " channels, and the convolution takes ", weight.size(1));
  return sum;
}

at::Tensor Conv2d::forward_upsampled(const at::Tensor& x) {
  const at::ScalarType type = x.scalar_type();
  at::Tensor bias = effective_bias(type);
  if (bias.defined()) bias = bias.repeat({4});
  return upsampled_convolution(x, effective_weight(type, WeightForm::after_upsampling), bias);
}

at::Tensor Conv2d::forward_pooled(const at::Tensor& x) {
  const at::ScalarType type = x.scalar_type();
  return convolution(x, effective_weight(type, WeightForm::before_pooling), effective_bias(type), 2, 1);
}

at::Tensor Conv2d::forward_strided(const at::Tensor& x, std::int64_t stride, std::int64_t padding) {
  const at::ScalarType type = x.scalar_type();
  return convolution(x, effective_weight(type), effective_bias(type), stride, padding);
}

Linear::Linear(std::int64_t in, std::int64_t out, const WeightOptions& options)
    : Weighted({out, in}, options) {}

void Linear::begin_phase(bool update) {
  packed_ = {};
  Weighted::begin_phase(update);
}

at::Tensor Linear::forward(const at::Tensor& x) {
  const at::Tensor weight = effective_weight(x.scalar_type()), bias = effective_bias(x.scalar_type());
  // What optimisers do to the raw weight nothing tells: what was made of it is packed alone.
  const bool packs = PackedWeight::serves(x) && !weight.is_alias_of(this->weight());
  return packs ? packed_.linear(x, weight, bias) : at::linear(x, weight, bias);
}

Embedding::Embedding(std::int64_t count, std::int64_t width, const WeightOptions& options)
    : Weighted({count, width}, without_bias(options)) {}

at::Tensor Embedding::forward(const at::Tensor& labels) {
  return at::embedding(effective_weight(weight().scalar_type()), labels);
}

}  // namespace ganymede
