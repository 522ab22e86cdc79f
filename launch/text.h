#pragma once

#include <cstdint>
#include <string>

namespace ganymede {

/// "9,416,196"
std::string with_thousands(std::int64_t number);
/// "3h05m", "3m12s", "12s"
std::string duration_text(double seconds);
/// "1.3 GiB"
std::string byte_text(std::int64_t bytes);

}  // namespace ganymede
