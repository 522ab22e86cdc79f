#include "models/features/feature_extractor.h"

#include "core/error.h"
#include "models/features/random_network.h"

namespace ganymede {

std::unique_ptr<FeatureExtractor> make_feature_extractor(const ExtractorOptions& options) {
  if (options.file == "random") return make_random_network(options);
  fail(ExitCode::checkpoint, "{}: no features' network is known that it holds weights of", options.file);
}

}  // namespace ganymede
