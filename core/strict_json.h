#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/error.h"

namespace ganymede {

/// Parses JSON of doubtful origin. Beyond what nlohmann::json refuses by itself (bad UTF-8, trailing text),
/// this refuses keys given twice in one object, NUL bytes, and nesting deeper than 32. Throws Error(`code`)
/// with a message that begins with `where`.
nlohmann::json parse_strictly(std::string_view text, ExitCode code, std::string_view where);

/// JSON text of `value`, on one line or indented. Bytes that are no UTF-8, of a path for instance, become the replacement
/// character: they must not end a run.
std::string json_text(const nlohmann::json& value, int indent = -1);

/// `text` in quotes with control characters escaped, cut after 200 bytes: a hostile name stays on one short
/// line.
std::string quote(std::string_view text);

}  // namespace ganymede
