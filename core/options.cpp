#include "core/options.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <boost/program_options/parsers.hpp>
#include <charconv>
#include <cmath>
#include <numeric>
#include <sstream>

#include "core/error.h"
#include "core/files.h"

namespace ganymede {
namespace {

constexpr std::int64_t largest_recipe = 1 << 20;

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(" \t\r") - first + 1));
}

/// Boost's parser gives keys and values but no lines: this finds where each key stands.
std::map<std::string, int> lines_of_keys(const std::string& text, const std::string& origin) {
  std::map<std::string, int> lines;
  std::istringstream stream(text);
  std::string line, section;
  for (int number = 1; std::getline(stream, line); ++number) {
    line = trimmed(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    if (line.front() == '[' && line.back() == ']') {
      const std::string name = line.substr(1, line.size() - 2);
      // Boost reads past an empty name, and leaves a dot at the end single.
      if (name.empty() || name.front() == '.' || name.back() == '.')
        fail(ExitCode::options, "{}:{}: '{}' names no section: write it as [train]", origin, number,
             line.substr(0, 80));
      section = name + '.';
      continue;
    }
    const auto equals = line.find('=');
    if (equals == std::string::npos)
      fail(ExitCode::options, "{}:{}: '{}' is neither [section] nor key = value", origin, number,
           line.substr(0, 80));
    const std::string key = section + trimmed(line.substr(0, equals));
    if (!lines.emplace(key, number).second)
      fail(ExitCode::options, "{}:{}: {} was already set on line {}", origin, number, key, lines[key]);
  }
  return lines;
}

std::string range_text(const Range& range) {
  if (std::isinf(range.low) && std::isinf(range.high)) return {};
  return fmt::format("{}..{}", range.low,
                     std::isinf(range.high) ? std::string{} : fmt::format("{}", range.high));
}

void check_range(std::string_view key, const Setting& setting, double value, const Range& range,
                 const std::string& unit) {
  if (value < range.low || value > range.high)
    fail(ExitCode::options, "{} = {} ({}) is out of range: give {}{}{}", key, setting.value, setting.origin,
         range_text(range), unit.empty() ? "" : " ", unit);
}

std::string print_number(double value) {
  return fmt::format("{}", value);
}

}  // namespace

Settings parse_recipe(const std::string& text, const std::string& origin) {
  const auto lines = lines_of_keys(text, origin);
  std::istringstream stream(text);
  Settings settings;
  try {
    const boost::program_options::options_description none;
    for (const auto& option : boost::program_options::parse_config_file<char>(stream, none, true).options)
      settings[option.string_key] = {option.value.empty() ? "" : option.value.front(),
                                     fmt::format("{}:{}", origin, lines.at(option.string_key))};
  } catch (const boost::program_options::error& error) {
    fail(ExitCode::options, "{}: {}", origin, error.what());
  }
  return settings;
}

Settings read_recipe(const std::string& path) {
  std::string text;
  try {
    text = read_text_file(path, largest_recipe);
  } catch (const Error& error) {
    fail(ExitCode::options, "recipe: {}", error.what());
  }
  if (text.find('\0') != std::string::npos) fail(ExitCode::options, "{} is not a text file", path);
  return parse_recipe(text, std::filesystem::path(path).filename().string());
}

std::string nearest(std::string_view word, std::span<const std::string> known) {
  const auto distance = [](std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
      std::size_t diagonal = std::exchange(row[0], i);
      for (std::size_t j = 1; j <= b.size(); ++j) {
        const std::size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
        diagonal = std::exchange(row[j], std::min({substituted, row[j] + 1, row[j - 1] + 1}));
      }
    }
    return row.back();
  };
  std::string best;
  // A word that shares less than half of its letters is no help.
  std::size_t least = word.size() / 2 + 2;
  for (const std::string& candidate : known) {
    // "--batch" means "--train.batch": the section may be left out for free.
    std::size_t d = distance(word, candidate);
    const auto dot = candidate.rfind('.');
    if (dot != std::string::npos && word.find('.') == std::string_view::npos)
      d = std::min(d, distance(word, std::string_view(candidate).substr(dot + 1)));
    if (d < least) {
      least = d;
      best = candidate;
    }
  }
  return best;
}

double parse_number(std::string_view key, const Setting& setting) {
  double value = 0;
  const char* end = setting.value.data() + setting.value.size();
  const auto [parsed, error] = std::from_chars(setting.value.data(), end, value);
  if (error != std::errc{} || parsed != end || !std::isfinite(value))
    fail(ExitCode::options, "{} = '{}' ({}) is not a number", key, setting.value, setting.origin);
  return value;
}

std::int64_t parse_integer(std::string_view key, const Setting& setting) {
  std::int64_t value = 0;
  const char* end = setting.value.data() + setting.value.size();
  const auto [parsed, error] = std::from_chars(setting.value.data(), end, value);
  if (error == std::errc::result_out_of_range)
    fail(ExitCode::options, "{} = {} ({}) is out of range", key, setting.value, setting.origin);
  if (error != std::errc{} || parsed != end)
    fail(ExitCode::options, "{} = '{}' ({}) is not a whole number", key, setting.value, setting.origin);
  return value;
}

void OptionSchema::insert(Option option) {
  for (const Option& other : options_)
    if (other.key == option.key) throw std::logic_error("option " + option.key + " is described twice");
  option.default_value = print(option);
  options_.push_back(std::move(option));
}

void OptionSchema::add(const std::string& key, bool& value, const std::string& help, OnResume on_resume) {
  insert({key, &value, {}, {}, {"true", "false"}, help, {}, on_resume});
}
void OptionSchema::add(const std::string& key, std::int64_t& value, const std::string& unit, Range range,
                       const std::string& help, OnResume on_resume) {
  insert({key, &value, unit, range, {}, help, {}, on_resume});
}
void OptionSchema::add(const std::string& key, double& value, const std::string& unit, Range range,
                       const std::string& help, OnResume on_resume) {
  insert({key, &value, unit, range, {}, help, {}, on_resume});
}
void OptionSchema::add(const std::string& key, std::string& value, std::vector<std::string> choices,
                       const std::string& help, OnResume on_resume) {
  insert({key, &value, {}, {}, std::move(choices), help, {}, on_resume});
}
void OptionSchema::add(const std::string& key, std::vector<std::int64_t>& value, const std::string& unit,
                       Range range, const std::string& help, OnResume on_resume) {
  insert({key, &value, unit, range, {}, help, {}, on_resume});
}

std::string OptionSchema::print(const Option& option) {
  struct Printer {
    std::string operator()(const bool* value) const { return *value ? "true" : "false"; }
    std::string operator()(const std::int64_t* value) const { return fmt::format("{}", *value); }
    std::string operator()(const double* value) const { return print_number(*value); }
    std::string operator()(const std::string* value) const { return *value; }
    std::string operator()(const std::vector<std::int64_t>* value) const {
      return fmt::format("{}", fmt::join(*value, ","));
    }
  };
  return std::visit(Printer{}, option.target);
}

void OptionSchema::assign(const Option& option, const Setting& setting) {
  struct Assigner {
    const Option& option;
    const Setting& setting;
    void operator()(bool* value) const {
      require_choice();
      *value = setting.value == "true";
    }
    void operator()(std::int64_t* value) const {
      *value = parse_integer(option.key, setting);
      check_range(option.key, setting, static_cast<double>(*value), option.range, option.unit);
    }
    void operator()(double* value) const {
      *value = parse_number(option.key, setting);
      check_range(option.key, setting, *value, option.range, option.unit);
    }
    void operator()(std::string* value) const {
      require_choice();
      *value = setting.value;
    }
    void operator()(std::vector<std::int64_t>* value) const {
      value->clear();
      if (trimmed(setting.value) == "none") return;  // as help() writes the empty list
      std::istringstream items(setting.value);
      for (std::string item; std::getline(items, item, ',');) {
        std::int64_t number = 0;
        (*this)(&number, {trimmed(item), setting.origin});
        value->push_back(number);
      }
    }
    void operator()(std::int64_t* value, const Setting& item) const { Assigner{option, item}(value); }
    void require_choice() const {
      if (option.choices.empty() || std::ranges::find(option.choices, setting.value) != option.choices.end())
        return;
      fail(ExitCode::options, "{} = '{}' ({}) is not known: give one of {}", option.key, setting.value,
           setting.origin, fmt::join(option.choices, ", "));
    }
  };
  std::visit(Assigner{option, setting}, option.target);
}

void OptionSchema::apply(const Settings& settings) {
  for (const auto& [key, setting] : settings) {
    const auto option = std::ranges::find(options_, key, &Option::key);
    if (option == options_.end()) {
      const std::string suggestion = nearest(key, keys());
      fail(ExitCode::options, "unknown option {} ({}){}", key, setting.origin,
           suggestion.empty() ? "" : fmt::format(": did you mean {}?", suggestion));
    }
    assign(*option, setting);
  }
}

std::vector<std::string> OptionSchema::keys() const {
  std::vector<std::string> keys;
  for (const Option& option : options_) keys.push_back(option.key);
  return keys;
}

std::string OptionSchema::to_recipe() const {
  std::string text, section;
  for (const Option& option : options_) {
    const auto dot = option.key.rfind('.');
    if (option.key.substr(0, dot) != section) {
      section = option.key.substr(0, dot);
      text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", section);
    }
    text += fmt::format("{} = {}\n", option.key.substr(dot + 1), print(option));
  }
  return text;
}

std::vector<std::string> OptionSchema::differences(const Settings& stored,
                                                   std::span<const std::string> allowed) const {
  std::vector<std::string> result;
  for (const Option& option : options_) {
    if (option.on_resume == OnResume::free || std::ranges::find(allowed, option.key) != allowed.end())
      continue;
    const auto other = stored.find(option.key);
    // An option that came after the run began leaves what it was by its default.
    const bool is_new = other == stored.end();
    if ((is_new ? option.default_value : other->second.value) != print(option))
      result.push_back(
          fmt::format("{}: {} -> {}", option.key, is_new ? "(absent)" : other->second.value, print(option)));
  }
  for (const auto& [key, setting] : stored)
    if (std::ranges::find(options_, key, &Option::key) == options_.end() &&
        std::ranges::find(allowed, key) == allowed.end())
      result.push_back(fmt::format("{}: {} -> (absent)", key, setting.value));
  return result;
}

std::string OptionSchema::help() const {
  std::string text;
  for (const Option& option : options_) {
    std::string facts = option.default_value.empty() ? "none" : option.default_value;
    if (!option.unit.empty()) facts += " " + option.unit;
    if (const std::string range = range_text(option.range); !range.empty()) facts += ", " + range;
    if (!option.choices.empty()) facts += fmt::format(", {}", fmt::join(option.choices, "|"));
    text += fmt::format("  --{:<32} {} [{}]\n", option.key, option.help, facts);
  }
  return text;
}

}  // namespace ganymede
