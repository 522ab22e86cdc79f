#include "models/encoders/projection_networks.h"
#include "models/gan/adversarial.h"
#include "models/gan/headed_discriminator.h"

namespace ganymede {

std::unique_ptr<ProjectionNetworks> AdversarialMethod::projection(const SampleOptions& options) {
  const auto filled = [&](const auto& network, const Player& player) {
    const bool average = options.ema && player.has_average();
    network->to(context_.device, context_.dtype);
    copy_tensors(player.weights(average), parameters_of(*network));
    copy_tensors(player.buffers(average), buffers_of(*network));
    return network;
  };
  ProjectionNetworks::Parts parts;
  parts.generator = filled(networks_.generator(), generator_player_);
  const std::shared_ptr<Discriminator> judge =
      filled(make_discriminator(networks_, auxiliary_.task()), discriminator_player_);
  parts.discriminator = judge;
  if (networks_.feature_size() > 0)
    parts.add_features_of(*judge);
  else
    parts.why_no_features = "this one shows none";
  parts.classes = networks_.images().classes;
  parts.dtype = context_.dtype;
  parts.device = context_.device;
  parts.fade = fade_;
  parts.enlarge = enlarge_;
  return std::make_unique<ProjectionNetworks>(std::move(parts));
}

}  // namespace ganymede
