#include "core/strict_json.h"

#include <unordered_set>
#include <vector>

namespace ganymede {
namespace {

constexpr int max_depth = 32;
constexpr std::size_t longest_quote = 200;

}  // namespace

std::string json_text(const nlohmann::json& value, int indent) {
  return value.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string quote(std::string_view text) {
  const bool is_long = text.size() > longest_quote;
  const std::string shown = std::string(text.substr(0, longest_quote)) + (is_long ? "..." : "");
  return json_text(shown);
}

nlohmann::json parse_strictly(std::string_view text, ExitCode code, std::string_view where) {
  // The parser takes a NUL for the end of its input and would pass over whatever follows.
  if (text.find('\0') != std::string_view::npos) fail(code, "{}: a NUL byte in JSON", where);
  std::vector<std::unordered_set<std::string>> keys;
  const auto check = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    if (depth > max_depth) fail(code, "{}: JSON nested deeper than {}", where, max_depth);
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(parsed.get<std::string>()).second)
      fail(code, "{}: the key {} is given twice", where, quote(parsed.get<std::string>()));
    return true;
  };
  try {
    return nlohmann::json::parse(text.begin(), text.end(), check);
  } catch (const nlohmann::json::exception& error) {
    fail(code, "{}: not valid JSON: {}", where, quote(error.what()));
  }
}

}  // namespace ganymede
