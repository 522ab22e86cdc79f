#include "models/encoders/projection_networks.h"

#include <ATen/ATen.h>

#include "models/layers/batch_norm.h"

namespace ganymede {

ProjectionNetworks::ProjectionNetworks(Parts parts)
    : parts_(std::move(parts)), alone_(make_single_communicator()) {
  const at::NoGradGuard no_grad;
  for (Network* network : {static_cast<Network*>(parts_.generator.get()),
                           static_cast<Network*>(parts_.encoder.get()), parts_.discriminator.get()}) {
    if (!network) continue;
    for (at::Tensor& parameter : network->parameters()) parameter.requires_grad_(false);
    network->begin_phase(false);
  }
}

void ProjectionNetworks::Parts::add_features_of(Discriminator& judge) {
  if (compares_images(judge)) {
    why_no_features = "this one compares images with each other";
    return;
  }
  features = [&judge](const at::Tensor& x, const at::Tensor& labels, const ForwardContext& context) {
    at::Tensor last;
    ForwardContext judging = context;
    judging.features = &last;
    judge.forward(x, labels, judging);
    return last;
  };
}

ForwardContext ProjectionNetworks::context_of(std::int64_t count) {
  ForwardContext context{*alone_, {0, count, count}, BatchNormMode::running};
  context.fade = parts_.fade;
  return context;
}

at::Tensor ProjectionNetworks::finished(const at::Tensor& images) const {
  if (parts_.enlarge == 1) return images;
  const std::int64_t size[] = {images.size(2) * parts_.enlarge, images.size(3) * parts_.enlarge};
  return at::upsample_nearest2d(images, size);
}

at::Tensor ProjectionNetworks::shrunk(const at::Tensor& images) const {
  const at::Tensor x = parts_.enlarge == 1 ? images : at::avg_pool2d(images, parts_.enlarge);
  return x.to(parts_.dtype);
}

at::Tensor ProjectionNetworks::images(const at::Tensor& z, const at::Tensor& labels) {
  return finished(parts_.generator->forward(z, labels, context_of(z.size(0))));
}

at::Tensor ProjectionNetworks::styles(const at::Tensor& z, const at::Tensor& labels) {
  return styled()->styles(z, labels, context_of(z.size(0)));
}

at::Tensor ProjectionNetworks::images_of_styles(const at::Tensor& ws) {
  return finished(styled()->synthesise(ws, context_of(ws.size(0))));
}

at::Tensor ProjectionNetworks::encoded(const at::Tensor& images) {
  return parts_.encoder->forward(shrunk(images), context_of(images.size(0))).mean;
}

at::Tensor ProjectionNetworks::features(const at::Tensor& images, const at::Tensor& labels) {
  return parts_.features(shrunk(images), labels, context_of(images.size(0)));
}

bool compares_images(const Network& network) {
  // On so many ranks every group of images straddles some of them.
  constexpr std::int64_t images = 1 << 20;
  const auto all = network.exchanges({0, images, images}, 1 << 30);
  const auto modules = network.modules();
  const auto norms = std::ranges::count_if(
      modules, [](const auto& module) { return dynamic_cast<const BatchNorm*>(module.get()) != nullptr; });
  return std::ssize(all) > norms;
}

}  // namespace ganymede
