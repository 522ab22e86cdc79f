#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "evaluation/image_set.h"
#include "evaluation/statistics.h"
#include "models/features/feature_extractor.h"

namespace ganymede {

/// What a score depends on, as JSON; protocol_differences() says which scores may be compared.

/// Name, kind, count, size, selection (all, or which subset), and what drawn images come of. A digest of the
/// pixels comes beside them once they are seen.
nlohmann::json images_protocol(const ImageSet& set, std::int64_t count, std::uint64_t seed);
/// The same with the digest.
nlohmann::json images_protocol(const ImageSet& set, const ImageFeatures& features, std::uint64_t seed);
/// Name, origin, digest, resize, precision, dimensions, caveat.
nlohmann::json extractor_protocol(const ExtractorDescription& description);

/// What a statistics file says that it must agree on with the extractor at hand; "" where it does, else the
/// differences. What a foreign file does not say is not held against it.
std::string extractor_differences(const nlohmann::json& there, const nlohmann::json& here);

/// What forbids to hold a score of one protocol against one of another; "" where they agree on the extractor
/// (see extractor_differences()), on count, size, selection and drawing of the images, and on digest, count
/// and selection of the reference. Names, and where weights lie, are nothing.
std::string protocol_differences(const nlohmann::json& there, const nlohmann::json& here);

/// What belongs to a Frechet distance: too few images for the dimension on either side. `reference` is 0 where
/// nobody knows.
std::vector<std::string> sample_warnings(const ExtractorDescription& extractor, std::int64_t images,
                                         std::int64_t reference);

}  // namespace ganymede
