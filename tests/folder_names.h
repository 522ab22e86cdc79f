#pragma once

#include <filesystem>
#include <set>
#include <string>

namespace ganymede {

/// The stems of the files in a folder of the source tree whose names end in `extension`.
inline std::set<std::string> names_in(const std::string& folder, const std::string& extension) {
  std::set<std::string> names;
  for (const auto& file :
       std::filesystem::directory_iterator(std::filesystem::path(GANYMEDE_SOURCE) / folder))
    if (file.path().extension() == extension) names.insert(file.path().stem().string());
  return names;
}

}  // namespace ganymede
