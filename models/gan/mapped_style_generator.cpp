#include "models/gan/mapped_style_generator.h"

#include <ATen/ATen.h>

#include "core/device.h"

namespace ganymede {

MappedStyleGenerator::MappedStyleGenerator(const StyleMappingOptions& mapping, double average, double mixing)
    : options_(mapping), average_(average), mixing_(mixing) {
  mapping_ = register_module("mapping", std::make_shared<StyleMapping>(mapping));
  style_mean_ = register_buffer("style_mean", at::zeros({mapping.style}));
}

at::Tensor MappedStyleGenerator::mixed(const at::Tensor& w, const at::Tensor& labels,
                                       const ForwardContext& context) {
  const std::int64_t count = w.size(0), first = context.noise->first;
  const auto draw = [&](const char* what) { return context.noise->stream("mapping", what); };
  const at::Tensor z = draw("mixing z").normal(first, count, options_.latent, w.scalar_type());
  const at::Tensor other = mapping_->forward(to_device(z, w.device()), labels);
  const at::Tensor at_layer = draw("mixing layer").integers(first, count, layers() - 1) + 1;
  const at::Tensor mixes = draw("mixing").uniform(first, count, 1, at::kDouble).squeeze(1) < mixing_;
  const at::Tensor from = at::where(mixes, at_layer, layers());  // the first layer that follows the other
  const at::Tensor own =
      to_device(at::arange(layers(), at::kLong).unsqueeze(0) < from.unsqueeze(1), w.device());
  return at::where(own.unsqueeze(2), w.unsqueeze(1), other.unsqueeze(1));
}

at::Tensor MappedStyleGenerator::styles(const at::Tensor& z, const at::Tensor& labels,
                                        const ForwardContext& context) {
  const at::Tensor w = mapping_->forward(z, labels);
  const bool training = context.batch_norm == BatchNormMode::train;
  if (training) {
    const at::NoGradGuard no_grad;
    at::Tensor sum = w.to(at::kDouble).sum(0);
    context.communicator.all_reduce(sum)->wait();
    const at::Tensor mean = sum / static_cast<double>(context.layout.total);
    style_mean_.lerp_(mean.to(style_mean_.scalar_type()), 1 - average_);
  }
  if (training && mixing_ > 0 && context.noise) return mixed(w, labels, context);
  return w.unsqueeze(1).expand({-1, layers(), -1});
}

std::vector<Exchange> MappedStyleGenerator::exchanges(const GroupLayout& /*layout*/, int /*ranks*/) const {
  return {{.numbers = options_.style, .backward = false}};  // the mean style
}

}  // namespace ganymede
