#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/share.h"

namespace ganymede {

/// How an array that HDF5 stores in chunks lies in its file. The array [N, ...] is covered by a grid of
/// chunks of one shape, those at its ends reach beyond it; each chunk is stored on its own, after its
/// filters. A row of the grid is all chunks that hold the same items (indices along the first axis): what
/// must be decoded to get at one of them. An array without chunks has an empty table.
struct ChunkTable {
  std::vector<std::int64_t> shape = {};
  std::vector<std::int64_t> chunk = {};  ///< shape of a chunk, with as many axes; all extents at least 1
  std::int64_t element_bytes = 1;
  std::vector<std::string> filters = {};   ///< in the order of writing, known to chunk_filters.h
  std::vector<std::int64_t> offsets = {};  ///< of each chunk in the file, in row-major order of the grid
  std::vector<std::int64_t> bytes = {};    ///< as stored
  /// Bit i: filter i was left out for this chunk, as a compressor does that gains nothing. Empty: never.
  std::vector<std::int64_t> left_out = {};

  bool empty() const { return shape.empty(); }
  std::int64_t item_bytes() const { return product(shape, 1) * element_bytes; }
  /// Of a chunk after its filters are undone.
  std::int64_t chunk_bytes() const { return product(chunk, 0) * element_bytes; }
  std::int64_t rows() const { return (shape[0] + chunk[0] - 1) / chunk[0]; }
  std::int64_t chunks_per_row() const {
    std::int64_t count = 1;
    for (std::size_t axis = 1; axis < shape.size(); ++axis)
      count *= (shape[axis] + chunk[axis] - 1) / chunk[axis];
    return count;
  }
  /// The items of a row.
  Share items_of(std::int64_t row) const {
    const std::int64_t first = row * chunk[0];
    return {first, first + chunk[0] <= shape[0] ? chunk[0] : shape[0] - first};
  }
  /// Whether the bytes of every item lie in the file together and as they are.
  bool is_plain() const {
    if (!filters.empty()) return false;
    for (std::size_t axis = 1; axis < shape.size(); ++axis)
      if (shape[axis] != chunk[axis]) return false;
    return true;
  }

 private:
  static std::int64_t product(const std::vector<std::int64_t>& factors, std::size_t first) {
    std::int64_t result = 1;
    for (std::size_t i = first; i < factors.size(); ++i) result *= factors[i];
    return result;
  }
};

}  // namespace ganymede
