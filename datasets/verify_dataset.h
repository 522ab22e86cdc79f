#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

namespace ganymede {

/// What verify_dataset() found to be in order.
struct VerifiedDataset {
  std::int64_t images = 0, bytes = 0, blocks = 0;
  bool has_digests = true;  ///< false when some file, being foreign, could only be read, not checked
};

/// Inspects the files, then reads every block of every one of them, smaller copies and what comes with the
/// images too, on `threads` threads: digests must match, and real values be numbers within their range.
/// `progress(done, total)` is called with bytes, from any of the threads but one at a time. Throws
/// Error(dataset) which names the first damaged blocks and how many there are.
VerifiedDataset verify_dataset(const std::vector<std::filesystem::path>& files, int threads,
                               const std::function<void(std::int64_t, std::int64_t)>& progress = {});

}  // namespace ganymede
