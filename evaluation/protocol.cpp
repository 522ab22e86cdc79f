#include "evaluation/protocol.h"

#include <fmt/ranges.h>

#include "core/strict_json.h"

namespace ganymede {

nlohmann::json images_protocol(const ImageSet& set, std::int64_t count, std::uint64_t seed) {
  const ImageSetDescription& description = set.description();
  nlohmann::json protocol{{"name", description.name},
                          {"kind", description.kind},
                          {"count", count},
                          {"size", {description.channels, description.height, description.width}}};
  protocol["selection"] =
      count == set.size() ? "all" : fmt::format("random {} of {}, seed {}", count, set.size(), seed);
  protocol.update(description.details);
  return protocol;
}

nlohmann::json images_protocol(const ImageSet& set, const ImageFeatures& features, std::uint64_t seed) {
  nlohmann::json protocol = images_protocol(set, features.count(), seed);
  protocol["digest"] = features.digest;
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

namespace {

nlohmann::json part_of(const nlohmann::json& protocol, const char* name) {
  const auto found = protocol.is_object() ? protocol.find(name) : protocol.end();
  return found != protocol.end() && found->is_object() ? *found : nlohmann::json::object();
}

nlohmann::json without(nlohmann::json object, std::initializer_list<const char*> keys) {
  for (const char* key : keys) object.erase(key);
  return object;
}

nlohmann::json only(const nlohmann::json& object, std::initializer_list<const char*> keys) {
  nlohmann::json kept = nlohmann::json::object();
  for (const char* key : keys)
    if (object.contains(key)) kept[key] = object[key];
  return kept;
}

}  // namespace

std::string protocol_differences(const nlohmann::json& there, const nlohmann::json& here) {
  std::vector<std::string> differences;
  const nlohmann::json extractor = part_of(there, "extractor");
  if (extractor.empty()) differences.push_back("the extractor is not named there");
  if (std::string text = extractor_differences(extractor, part_of(here, "extractor")); !text.empty())
    differences.push_back(std::move(text));
  const auto compare = [&](const char* what, const nlohmann::json& then, const nlohmann::json& now) {
    if (then != now)
      differences.push_back(fmt::format("{} {} there, {} here", what, json_text(then), json_text(now)));
  };
  const auto drawn = [](const nlohmann::json& protocol) {
    return without(part_of(protocol, "images"), {"name", "kind", "digest", "step"});
  };
  const auto reference = [](const nlohmann::json& protocol) {
    return only(part_of(protocol, "reference"), {"digest", "count", "selection"});
  };
  compare("images are", drawn(there), drawn(here));
  compare("the reference is", reference(there), reference(here));
  return fmt::format("{}", fmt::join(differences, "; "));
}

std::vector<std::string> sample_warnings(const ExtractorDescription& extractor, std::int64_t images,
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
  return warnings;
}

}  // namespace ganymede
