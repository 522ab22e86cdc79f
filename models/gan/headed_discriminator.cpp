#include "models/gan/headed_discriminator.h"

namespace ganymede {

HeadedDiscriminator::HeadedDiscriminator(const GanNetworks& networks, const GanAuxiliary& auxiliary)
    : auxiliary_(auxiliary), body_(register_module("body", networks.discriminator())) {
  head_ =
      register_module("head", std::make_shared<Linear>(networks.feature_size(), auxiliary.outputs(networks),
                                                       WeightOptions{.equalised = networks.equalised()}));
}

at::Tensor HeadedDiscriminator::forward(const at::Tensor& x, const at::Tensor& labels,
                                        const ForwardContext& context) {
  at::Tensor features;
  ForwardContext inner = context;
  inner.features = &features;
  const at::Tensor logits = body_->forward(x, labels, inner);
  context.keep_features(features);
  const at::Tensor outputs = head_->forward(features.to(head_->weight().scalar_type()));
  if (context.outputs) *context.outputs = outputs;
  return auxiliary_.verdict(logits, outputs);
}

std::shared_ptr<Discriminator> make_discriminator(const GanNetworks& networks,
                                                  const GanAuxiliary* auxiliary) {
  if (!auxiliary) return networks.discriminator();
  return std::make_shared<HeadedDiscriminator>(networks, *auxiliary);
}

}  // namespace ganymede
