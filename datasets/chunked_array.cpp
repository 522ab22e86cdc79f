#include "datasets/chunked_array.h"

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "datasets/chunk_filters.h"

namespace ganymede {

ChunkedArray::ChunkedArray(const File& file, std::string object, const ChunkTable& table)
    : file_(file), object_(std::move(object)), table_(table) {}

void ChunkedArray::read_row(std::int64_t row, std::span<std::byte> items) const {
  const std::int64_t chunks = table_.chunks_per_row();
  const auto chunk_bytes = static_cast<std::size_t>(table_.chunk_bytes());
  if (chunks == 1 && chunk_bytes == items.size()) return decode(row, row, items);
  thread_local std::vector<std::byte> plain;
  plain.resize(chunk_bytes);
  for (std::int64_t k = 0; k < chunks; ++k) {
    decode(row, row * chunks + k, plain);
    scatter(row, k, plain, items);
  }
}

std::int64_t ChunkedArray::place_of(std::int64_t index) const {
  return table_.offsets[static_cast<std::size_t>(index / table_.chunk[0])] +
         index % table_.chunk[0] * table_.item_bytes();
}

std::vector<std::byte> ChunkedArray::stored(std::int64_t chunk, std::int64_t limit) const {
  const auto k = static_cast<std::size_t>(chunk);
  std::vector<std::byte> bytes(static_cast<std::size_t>(std::min(limit, table_.bytes[k])));
  file_.read_at(table_.offsets[k], bytes);
  return bytes;
}

void ChunkedArray::decode(std::int64_t row, std::int64_t chunk, std::span<std::byte> plain) const {
  const auto k = static_cast<std::size_t>(chunk);
  std::string wrong;
  if (table_.filters.empty() && table_.bytes[k] == static_cast<std::int64_t>(plain.size())) {
    file_.read_at(table_.offsets[k], plain);
  } else {
    thread_local ChunkFilters filters;
    thread_local std::vector<std::byte> coded;
    coded.resize(static_cast<std::size_t>(table_.bytes[k]));
    file_.read_at(table_.offsets[k], coded);
    wrong = filters.undo(table_, table_.left_out.empty() ? 0 : table_.left_out[k], coded, plain);
  }
  if (wrong.empty()) return;
  const Share items = table_.items_of(row);
  fail(ExitCode::dataset,
       "{}: {}: chunk {} (images {} to {}) {}: damaged after writing; restore the file from a copy or make "
       "it anew",
       file_.path().string(), object_, chunk, items.first, items.first + items.count - 1, wrong);
}

void ChunkedArray::scatter(std::int64_t row, std::int64_t within_row, std::span<const std::byte> plain,
                           std::span<std::byte> items) const {
  const std::vector<std::int64_t>& shape = table_.shape;
  const std::vector<std::int64_t>& chunk = table_.chunk;
  const std::size_t axes = shape.size();
  // The chunk's first index along each axis, the first axis counted within the row, and how much lies in the
  // array.
  std::vector<std::int64_t> first(axes, 0), extent(axes);
  extent[0] = table_.items_of(row).count;
  for (std::size_t axis = axes - 1; axis > 0; --axis) {
    const std::int64_t across = (shape[axis] + chunk[axis] - 1) / chunk[axis];
    first[axis] = within_row % across * chunk[axis];
    within_row /= across;
    extent[axis] = std::min(chunk[axis], shape[axis] - first[axis]);
  }
  const std::int64_t run = (axes > 1 ? extent[axes - 1] : 1) * table_.element_bytes;
  std::vector<std::int64_t> at(axes, 0);
  for (;;) {
    std::int64_t from = 0, to = 0;
    for (std::size_t axis = 0; axis < axes; ++axis) {
      from = from * chunk[axis] + at[axis];
      to = to * (axis == 0 ? 1 : shape[axis]) + first[axis] + at[axis];
    }
    std::copy_n(plain.begin() + from * table_.element_bytes, run, items.begin() + to * table_.element_bytes);
    // The next run: the last axis is within a run, unless it is the only one.
    std::size_t axis = axes > 1 ? axes - 1 : 1;
    while (axis > 0 && ++at[axis - 1] == extent[axis - 1]) at[--axis] = 0;
    if (axis == 0) return;
  }
}

}  // namespace ganymede
