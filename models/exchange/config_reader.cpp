#include "models/exchange/config_reader.h"

#include "core/strict_json.h"

namespace ganymede {

using nlohmann::json;

ConfigReader::ConfigReader(json config, std::string where)
    : config_(std::move(config)), where_(std::move(where)) {
  if (!config_.is_object()) fail(ExitCode::checkpoint, "{} is no configuration: it is not an object", where_);
}

void ConfigReader::refuse(const std::string& key, const std::string& why) const {
  const auto found = config_.find(key);
  fail(ExitCode::checkpoint, "{}: {} = {}: {}", where_, key,
       found == config_.end() ? "(absent)" : json_text(*found).substr(0, 80), why);
}

template <class T>
T ConfigReader::get(const std::string& key, bool (json::*is)() const noexcept, const char* kind) const {
  const auto found = config_.find(key);
  if (found == config_.end() || !((*found).*is)()) refuse(key, fmt::format("{} is expected", kind));
  return found->get<T>();
}

std::int64_t ConfigReader::integer(const std::string& key, std::int64_t otherwise) const {
  return has(key) ? get<std::int64_t>(key, &json::is_number_integer, "a whole number") : otherwise;
}

double ConfigReader::number(const std::string& key, double otherwise) const {
  return has(key) ? get<double>(key, &json::is_number, "a number") : otherwise;
}

bool ConfigReader::flag(const std::string& key, bool otherwise) const {
  return has(key) ? get<bool>(key, &json::is_boolean, "true or false") : otherwise;
}

std::string ConfigReader::text(const std::string& key, const std::string& otherwise) const {
  return has(key) ? get<std::string>(key, &json::is_string, "a text") : otherwise;
}

std::vector<std::int64_t> ConfigReader::integers(const std::string& key) const {
  const json list = get<json>(key, &json::is_array, "a list of whole numbers");
  for (const json& item : list)
    if (!item.is_number_integer()) refuse(key, "a list of whole numbers is expected");
  return list.get<std::vector<std::int64_t>>();
}

std::vector<std::string> ConfigReader::texts(const std::string& key) const {
  const json list = get<json>(key, &json::is_array, "a list of texts");
  for (const json& item : list)
    if (!item.is_string()) refuse(key, "a list of texts is expected");
  return list.get<std::vector<std::string>>();
}

std::int64_t ConfigReader::side(const std::string& key) const {
  if (!has(key)) refuse(key, "the size of images is not told");
  if (!config_[key].is_array()) return integer(key, 0);
  const std::vector<std::int64_t> sides = integers(key);
  if (sides.size() != 2 || sides[0] != sides[1]) refuse(key, "images here are as high as wide");
  return sides[0];
}

ConfigReader ConfigReader::with(const std::string& key, json value) const {
  ConfigReader other = *this;
  other.config_[key] = std::move(value);
  return other;
}

void ConfigReader::require(const std::string& key, const json& only) const {
  if (has(key) && config_[key] != only)
    refuse(key, fmt::format("the networks of this program know {} alone", json_text(only)));
}

std::string ConfigReader::differing(const std::string& key, const json& only) const {
  return has(key) && config_[key] != only ? fmt::format("{} = {}", key, json_text(config_[key])) : "";
}

}  // namespace ganymede
