#include "models/features/feature_extractor.h"

#include "core/weights_file.h"
#include "models/features/known_weights.h"
#include "models/features/random_network.h"

namespace ganymede {

std::unique_ptr<FeatureExtractor> make_feature_extractor(const ExtractorOptions& options) {
  if (options.file == "random") return make_random_network(options);
  return make_known_extractor(source_of(WeightsFile::open(options.file)), options);
}

}  // namespace ganymede
