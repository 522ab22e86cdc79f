#pragma once

#include <memory>

#include "models/features/feature_extractor.h"
#include "models/features/weights_source.h"

namespace ganymede {

/// What the tensors of a file are, by their names and shapes.
struct WeightsReport {
  std::string network = {};              ///< "inception-v3", "dinov2-vitl14", ...; empty: none that is known
  std::string layout = {};               ///< whose names it has
  std::string caveat = {};               ///< as in ExtractorDescription
  std::int64_t expected = 0, found = 0;  ///< tensors the network needs, and those of them that are there
  std::vector<std::string> problems = {};  ///< what is missing or of wrong shape: a line each
  std::vector<std::string> unused = {};    ///< tensors that the network does not look at
};

/// A network that features come from, in one layout of names.
struct KnownWeights {
  /// Whether the file holds it, and how well; `network` is empty where it surely does not.
  WeightsReport (*examine)(const WeightsSource& source);
  /// Only for a source without problems.
  std::unique_ptr<FeatureExtractor> (*make)(const WeightsSource& source, const ExtractorOptions& options);
};

/// The known network whose tensors the file holds most of, at least half. `ganymede weights check` prints it.
WeightsReport recognise_weights(const WeightsSource& source);

/// The extractor of the network that is recognised. Throws Error(checkpoint) with one line: what the file was
/// taken for and its first problem, or that it is nothing known.
std::unique_ptr<FeatureExtractor> make_known_extractor(const WeightsSource& source,
                                                       const ExtractorOptions& options);

/// Fills in expected, found, problems and unused.
void compare(WeightsReport& report, const WeightsSource& source, const std::vector<ExpectedTensor>& expected);

}  // namespace ganymede
