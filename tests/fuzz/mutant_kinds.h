#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace ganymede {

/// A kind of file that is damaged, or of folder with several files.
struct MutantKind {
  std::string name;
  /// Whether digests of ours, known or in the file, cover what is read: then a reading is right or refused.
  bool has_digests = false;
  std::map<std::string, std::string> files = {};   ///< by name: their bytes, undamaged
  std::map<std::string, std::string> others = {};  ///< of the same names: what another save wrote
  std::function<std::uint64_t(const std::filesystem::path& folder)> read = {};  ///< one of readers.h
};

/// All kinds, freshly written by the program's own writers where it has them.
std::vector<MutantKind> mutant_kinds();

}  // namespace ganymede
