#include "launch/report/page.h"

#include <map>

#include "core/strict_json.h"
#include "report_parts.h"

namespace ganymede {
namespace {

/// `text` with each {{name}} replaced; what is put in is not looked at again.
std::string filled(std::string_view text, const std::map<std::string_view, std::string>& values) {
  std::string result;
  for (std::size_t at = 0;;) {
    const std::size_t open = text.find("{{", at);
    result += text.substr(at, open - at);
    if (open == text.npos) return result;
    const std::size_t close = text.find("}}", open);
    result += values.at(text.substr(open + 2, close - open - 2));
    at = close + 2;
  }
}

/// JSON that may stand in a script element: "<" occurs within texts alone, where it can be escaped.
std::string script_data(const nlohmann::json& data) {
  std::string result;
  for (const char letter : json_text(data))
    if (letter == '<')
      result += "\\u003c";
    else
      result += letter;
  return result;
}

}  // namespace

std::string page_text(Page page, std::string_view title, const nlohmann::json& data) {
  using namespace report_parts;
  const std::string script =
      page == Page::report ? std::string(dom_js) + chart_js + report_js : std::string(dom_js) + compare_js;
  return filled(page_html, {{"title", html_escaped(title)},
                            {"style", style_css},
                            {"script", script},
                            {"data", script_data(data)}});
}

std::string html_escaped(std::string_view text) {
  std::string result;
  for (const char letter : text) switch (letter) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += letter;
    }
  return result;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string result;
  result.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    unsigned group = 0;
    for (std::size_t k = 0; k < 3; ++k)
      group = group << 8 | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (std::size_t k = 0; k < 4; ++k) result += k <= count ? digits[group >> (18 - 6 * k) & 63] : '=';
  }
  return result;
}

}  // namespace ganymede
