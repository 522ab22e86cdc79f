#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ganymede {

/// A value as it was written, and where: "biggan-digits.cfg:12" or "command line".
struct Setting {
  std::string value;
  std::string origin;
};

/// Settings by full key ("train.batch").
using Settings = std::map<std::string, Setting>;

/// Reads a recipe: `[section]`, `key = value`, `#` comments. Throws Error(options) with file and line.
Settings read_recipe(const std::string& path);

/// Reads recipe text that came from elsewhere (a checkpoint); `origin` stands for the file's name.
Settings parse_recipe(const std::string& text, const std::string& origin);

/// The entry of `known` with the smallest edit distance to `word`; empty when none is near.
std::string nearest(std::string_view word, std::span<const std::string> known);

/// Inclusive bounds of a number.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
};

/// Whether two runs with different values of an option can be the same run. What only says how often to
/// report, save or when to stop may change on resume; all else may not, unless the user names it in
/// --resume.allow.
enum class OnResume { fixed, free };

/// The typed options of a run. Each component binds the fields of its own struct, whose initial values are
/// the defaults; apply() then fills them from a recipe and the command line.
///
///     struct DataOptions {
///       bool flip = false;
///       void describe(OptionSchema& schema) {
///         schema.add("data.flip", flip, "mirror each image with probability 1/2");
///       }
///     };
class OptionSchema {
 public:
  void add(const std::string& key, bool& value, const std::string& help,
           OnResume on_resume = OnResume::fixed);
  void add(const std::string& key, std::int64_t& value, const std::string& unit, Range range,
           const std::string& help, OnResume on_resume = OnResume::fixed);
  void add(const std::string& key, double& value, const std::string& unit, Range range,
           const std::string& help, OnResume on_resume = OnResume::fixed);
  /// One of `choices`.
  void add(const std::string& key, std::string& value, std::vector<std::string> choices,
           const std::string& help, OnResume on_resume = OnResume::fixed);
  /// A comma-separated list of whole numbers; "none" or nothing is the empty one.
  void add(const std::string& key, std::vector<std::int64_t>& value, const std::string& unit, Range range,
           const std::string& help, OnResume on_resume = OnResume::fixed);

  /// Fills the bound fields. Throws Error(options): an unknown key (with the nearest known one), a value of
  /// another type, a value out of range (with the range).
  void apply(const Settings& settings);

  std::vector<std::string> keys() const;
  /// The values as they are now, in the recipe format, sections together: reading it back gives the same
  /// values.
  std::string to_recipe() const;
  /// "key: stored -> present" for each fixed option that differs from `stored`, except those in `allowed`.
  std::vector<std::string> differences(const Settings& stored, std::span<const std::string> allowed) const;
  /// One line an option: key, default, unit, range, help.
  std::string help() const;

 private:
  using Target = std::variant<bool*, std::int64_t*, double*, std::string*, std::vector<std::int64_t>*>;
  struct Option {
    std::string key;
    Target target;
    std::string unit;
    Range range;
    std::vector<std::string> choices;
    std::string help;
    std::string default_value;
    OnResume on_resume;
  };

  void insert(Option option);
  static std::string print(const Option& option);
  static void assign(const Option& option, const Setting& setting);
  std::vector<Option> options_;
};

/// Parses one number strictly: the whole text, finite. Throws Error(options) that names `key` and `origin`.
double parse_number(std::string_view key, const Setting& setting);
std::int64_t parse_integer(std::string_view key, const Setting& setting);

}  // namespace ganymede
