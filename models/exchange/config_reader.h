#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ganymede {

/// A config.json of diffusers. A key that is absent has the value that diffusers gives it, which the caller names; so
/// has one that is null, but for is_null(). Everything throws Error(checkpoint) that names file and key.
class ConfigReader {
 public:
  /// `where` is the file, for messages. Throws unless it is an object.
  ConfigReader(nlohmann::json config, std::string where);

  const std::string& where() const { return where_; }
  std::string class_name() const { return text("_class_name", ""); }
  bool has(const std::string& key) const { return config_.contains(key) && !config_[key].is_null(); }
  /// There, and null: none of it, where an absent key would mean some.
  bool is_null(const std::string& key) const { return config_.contains(key) && config_[key].is_null(); }

  std::int64_t integer(const std::string& key, std::int64_t otherwise) const;
  double number(const std::string& key, double otherwise) const;
  bool flag(const std::string& key, bool otherwise) const;
  std::string text(const std::string& key, const std::string& otherwise) const;
  std::vector<std::int64_t> integers(const std::string& key) const;
  std::vector<std::string> texts(const std::string& key) const;
  /// A width and height that are the same: one number, or two equal ones.
  std::int64_t side(const std::string& key) const;
  /// The same with another value of one key.
  ConfigReader with(const std::string& key, nlohmann::json value) const;
  /// For what this program has one form of: refuses any value but this one.
  void require(const std::string& key, const nlohmann::json& only) const;
  /// "key = value" where the key is there with another value than this one, else empty.
  std::string differing(const std::string& key, const nlohmann::json& only) const;
  [[noreturn]] void refuse(const std::string& key, const std::string& why) const;

 private:
  template <class T>
  T get(const std::string& key, bool (nlohmann::json::*is)() const noexcept, const char* kind) const;

  nlohmann::json config_;
  std::string where_;
};

}  // namespace ganymede
