#pragma once

#include <filesystem>
#include <functional>

#include "evaluation/statistics.h"

namespace ganymede {

/// Keeps the statistics of a reference in a folder, under all that they depend on.
class ReferenceCache {
 public:
  /// `key` in full stands in the file, its hash in the name. With an empty folder or key nothing is kept or found.
  ReferenceCache(Communicator& ranks, const std::filesystem::path& folder, std::string key);

  const std::string& key() const { return key_; }
  /// Those of this key with every part that is requested; nothing where there are none, or the file is damaged.
  /// Collective.
  std::optional<ReferenceStatistics> read(const PassRequest& request) const;
  /// On rank 0. `warn` is told why they could not be kept; may be empty.
  void write(const ReferenceStatistics& statistics,
             const std::function<void(const std::string& text)>& warn) const;

 private:
  Communicator& ranks_;
  std::filesystem::path path_;
  std::string key_;
};

}  // namespace ganymede
