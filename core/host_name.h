#pragma once

#include <string>

namespace ganymede {

/// gethostname(), or "?".
std::string host_name();

}  // namespace ganymede
