#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "evaluation/image_set.h"
#include "evaluation/statistics.h"
#include "models/features/feature_extractor.h"

namespace ganymede {

/// What a score depends on, as JSON: two scores may be compared where these agree.

/// Name, kind, count, size, selection (all, or which subset), digest of the pixels, and what drawn images
/// come of.
nlohmann::json images_protocol(const ImageSet& set, const ImageFeatures& features, std::uint64_t seed);
/// Name, origin, digest, resize, precision, dimensions, caveat.
nlohmann::json extractor_protocol(const ExtractorDescription& description);

/// What a statistics file says that it must agree on with the extractor at hand; "" where it does, else the
/// differences. What a foreign file does not say is not held against it.
std::string extractor_differences(const nlohmann::json& there, const nlohmann::json& here);

/// Warnings that belong to the numbers: too few images for the dimension on either side; a network whose
/// scores are not comparable. `reference` is 0 where nobody knows.
std::vector<std::string> score_warnings(const ExtractorDescription& extractor, std::int64_t images,
                                        std::int64_t reference);

}  // namespace ganymede
