#include "evaluation/protocol.h"

#include <fmt/ranges.h>

#include "core/strict_json.h"

namespace ganymede {

nlohmann::json images_protocol(const ImageSet& set, const ImageFeatures& features, std::uint64_t seed) {
  const ImageSetDescription& description = set.description();
  nlohmann::json protocol{{"name", description.name},
                          {"kind", description.kind},
                          {"count", features.count()},
                          {"size", {description.channels, description.height, description.width}},
                          {"digest", features.digest}};
  protocol["selection"] = features.count() == set.size()
                              ? "all"
                              : fmt::format("random {} of {}, seed {}", features.count(), set.size(), seed);
  protocol.update(description.details);
  return protocol;
}

nlohmann::json extractor_protocol(const ExtractorDescription& description) {
  nlohmann::json protocol{{"name", description.name},           {"origin", description.origin},
                          {"digest", description.digest},       {"resize", description.resize},
                          {"precision", description.precision}, {"dimensions", description.dimensions}};
  if (!description.caveat.empty()) protocol["caveat"] = description.caveat;
  return protocol;
}

std::string extractor_differences(const nlohmann::json& there, const nlohmann::json& here) {
  std::vector<std::string> differences;
  for (const char* key : {"name", "digest", "resize", "precision", "dimensions"}) {
    const auto found = there.find(key);
    if (found != there.end() && *found != here.at(key))
      differences.push_back(
          fmt::format("{} is {} there, {} here", key, json_text(*found), json_text(here.at(key))));
  }
  return fmt::format("{}", fmt::join(differences, "; "));
}

std::vector<std::string> score_warnings(const ExtractorDescription& extractor, std::int64_t images,
                                        std::int64_t reference) {
  std::vector<std::string> warnings;
  const std::int64_t dimensions = extractor.dimensions;
  const auto check = [&](const char* side, std::int64_t count) {
    if (count == 0) return;
    if (count <= dimensions)
      warnings.push_back(fmt::format(
          "{} {} for {} dimensions: the covariance is singular, and a Frechet distance far too large; "
          "compare it with none of another count",
          count, side, dimensions));
    else if (count < 10 * dimensions)
      warnings.push_back(
          fmt::format("{} {} for {} dimensions: a Frechet distance is biased upwards; compare it with "
                      "those of the same count alone",
                      count, side, dimensions));
  };
  check("images", images);
  check("reference images", reference);
  if (!extractor.caveat.empty()) warnings.push_back(extractor.caveat);
  return warnings;
}

}  // namespace ganymede
