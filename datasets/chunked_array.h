#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "core/files.h"
#include "datasets/chunk_table.h"

namespace ganymede {

/// Reads an array that is stored in chunks with pread() and decodes it. Safe from any thread; holds nothing
/// but references to `file` and `table`, which must outlive it. A chunk that is not what it should be throws
/// Error(dataset), naming the file, `object`, the items and what is wrong.
class ChunkedArray {
 public:
  ChunkedArray(const File& file, std::string object, const ChunkTable& table);

  /// The items of a row of chunks, one after the other. `items` has their size: table.items_of(row).count *
  /// table.item_bytes().
  void read_row(std::int64_t row, std::span<std::byte> items) const;
  /// Where item `index` lies in the file; only of a table that is plain.
  std::int64_t place_of(std::int64_t index) const;
  /// The bytes of a chunk as stored, at most `limit` of them.
  std::vector<std::byte> stored(std::int64_t chunk, std::int64_t limit) const;
  /// The chunk that holds the first value of an item.
  std::int64_t chunk_of(std::int64_t index) const {
    return index / table_.chunk[0] * table_.chunks_per_row();
  }

 private:
  void decode(std::int64_t row, std::int64_t chunk, std::span<std::byte> plain) const;
  /// Copies what of a chunk lies within the array to its place among the items of the row.
  void scatter(std::int64_t row, std::int64_t within_row, std::span<const std::byte> plain,
               std::span<std::byte> items) const;

  const File& file_;
  std::string object_;
  const ChunkTable& table_;
};

}  // namespace ganymede
