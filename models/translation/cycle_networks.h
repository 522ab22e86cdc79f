#pragma once

#include "models/translation/patch_discriminator.h"
#include "models/translation/resnet_translator.h"

namespace ganymede {

/// CycleGAN's generators, which learn as one player: G from sources to images, and F back.
class CycleGenerators final : public Network {
 public:
  /// `options` are G's; F's channels are swapped.
  explicit CycleGenerators(const ResnetTranslatorOptions& options);

  const std::shared_ptr<ResnetTranslator> to_images, to_sources;
};

/// Its discriminators: of images, and of sources.
class CycleDiscriminators final : public Network {
 public:
  CycleDiscriminators(const PatchDiscriminatorOptions& images, const PatchDiscriminatorOptions& sources);

  const std::shared_ptr<PatchDiscriminator> of_images, of_sources;
};

}  // namespace ganymede
