#include "evaluation/reference_cache.h"

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "evaluation/statistics_file.h"

namespace ganymede {

ReferenceCache::ReferenceCache(Communicator& ranks, const std::filesystem::path& folder, std::string key)
    : ranks_(ranks), key_(folder.empty() ? std::string() : std::move(key)) {
  path_ = folder / fmt::format("statistics-{}.npz", hex(Xxh3::of(key_)));
}

std::optional<ReferenceStatistics> ReferenceCache::read(const PassRequest& request) const {
  if (key_.empty()) return std::nullopt;
  ReferenceStatistics found;
  if (ranks_.rank() == 0) try {
      std::error_code unreachable;
      if (std::filesystem::exists(path_, unreachable)) found = read_statistics(path_);
    } catch (const Error&) {
      found = {};  // made anew
    }
  if (found.protocol.value("key", "") != key_) found = {};
  const bool is_whole = (found.pool || found.spatial) && (found.pool || !request.moments) &&
                        (found.spatial || !request.spatial_moments);
  if (ranks_.agree(is_whole ? 1 : 0) == 0) return std::nullopt;
  broadcast_statistics(ranks_, found);
  return found;
}

void ReferenceCache::write(const ReferenceStatistics& statistics,
                           const std::function<void(const std::string& text)>& warn) const {
  if (key_.empty() || ranks_.rank() != 0) return;
  try {
    create_folders(path_.parent_path());
    write_statistics(path_, statistics);
  } catch (const Error& error) {
    if (warn) warn(fmt::format("the reference's statistics are not kept: {}", error.what()));
  }
}

}  // namespace ganymede
