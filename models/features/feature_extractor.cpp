#include "models/features/feature_extractor.h"

#include "core/safetensors.h"
#include "models/features/known_weights.h"
#include "models/features/random_network.h"

namespace ganymede {

std::unique_ptr<FeatureExtractor> make_feature_extractor(const ExtractorOptions& options) {
  if (options.file == "random") return make_random_network(options);
  const SafetensorsFile file = SafetensorsFile::open(options.file);
  WeightsSource source{options.file, {}, [&](const std::string& name) { return file.read(name); }};
  for (const auto& [name, entry] : file.tensors()) source.types.emplace(name, entry.type);
  return make_known_extractor(source, options);
}

}  // namespace ganymede
