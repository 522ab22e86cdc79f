#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace ganymede {

/// The pages of `ganymede report`: their HTML, CSS and JavaScript lie in this folder and are built into the
/// program. A page is one file that needs no network.

enum class Page { report, comparison };

/// The page's text with `data` inside, in UTF-8. Text in `data` and `title` may be anything: neither can
/// become markup or script.
std::string page_text(Page page, std::string_view title, const nlohmann::json& data);

/// RFC 4648, with padding.
std::string base64(std::string_view bytes);

/// `text` as it may stand in HTML.
std::string html_escaped(std::string_view text);

}  // namespace ganymede
