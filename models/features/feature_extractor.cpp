#include "models/features/feature_extractor.h"

#include "core/weights_file.h"
#include "models/features/known_weights.h"
#include "models/features/random_network.h"
#include "models/features/torchscript_extractor.h"

namespace ganymede {

std::unique_ptr<FeatureExtractor> make_feature_extractor(const ExtractorOptions& options) {
  if (options.file == "random") return make_random_network(options);
  if (weights_format(options.file) == WeightsFormat::torchscript) return make_torchscript_extractor(options);
  return make_known_extractor(source_of(WeightsFile::open(options.file)), options);
}

}  // namespace ganymede
