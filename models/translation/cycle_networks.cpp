#include "models/translation/cycle_networks.h"

namespace ganymede {
namespace {

ResnetTranslatorOptions reversed(ResnetTranslatorOptions options) {
  std::swap(options.source_channels, options.image_channels);
  return options;
}

}  // namespace

CycleGenerators::CycleGenerators(const ResnetTranslatorOptions& options)
    : to_images(register_module("to_images", std::make_shared<ResnetTranslator>(options))),
      to_sources(register_module("to_sources", std::make_shared<ResnetTranslator>(reversed(options)))) {}

CycleDiscriminators::CycleDiscriminators(const PatchDiscriminatorOptions& images,
                                         const PatchDiscriminatorOptions& sources)
    : of_images(register_module("of_images", std::make_shared<PatchDiscriminator>(images))),
      of_sources(register_module("of_sources", std::make_shared<PatchDiscriminator>(sources))) {}

}  // namespace ganymede
