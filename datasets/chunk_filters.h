#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/chunk_table.h"

namespace ganymede {

/// The filters of HDF5 that are undone here: "shuffle", "gzip" (HDF5's deflate), "lzf" and "fletcher32".
bool is_known_filter(std::string_view name);

/// Undoes the filters of chunks. Whatever the bytes, nothing is read or written outside of the spans. Holds
/// memory for intermediate results: one object for each thread.
class ChunkFilters {
 public:
  /// Undoes the filters of one chunk; `left_out` has bit i set where filter i was not applied. `plain` has
  /// the size that the chunk is to have. Returns what is wrong with the bytes, or an empty text.
  std::string undo(const ChunkTable& table, std::int64_t left_out, std::span<const std::byte> stored,
                   std::span<std::byte> plain);

 private:
  std::vector<std::byte> buffers_[2];
};

}  // namespace ganymede
