#include "datasets/inspect_chunks.h"

#include <algorithm>

#include "core/error.h"
#include "datasets/chunk_filters.h"
#include "datasets/schema.h"

namespace ganymede {
namespace {

/// A row of chunks must be held to get at one image of it.
constexpr std::int64_t largest_row = std::int64_t{1} << 30;

class ChunkInspector {
 public:
  ChunkInspector(const File& file, const Hdf5File& hdf5, const std::string& name, const Hdf5Array& array)
      : file_(file), hdf5_(hdf5), name_(name), array_(array) {}

  ChunkTable inspect() {
    check_filters();
    check_shapes();
    table_.shape = array_.shape;
    table_.chunk = array_.chunk;
    table_.element_bytes = array_.element_bytes;
    table_.filters = array_.filters;
    fill();
    compare_samples();
    return table_;
  }

 private:
  template <class... Arguments>
  [[noreturn]] void refuse(fmt::format_string<Arguments...> format, Arguments&&... arguments) const {
    fail(ExitCode::dataset, "{}: {} {}", file_.path().string(), name_,
         fmt::format(format, std::forward<Arguments>(arguments)...));
  }

  void check_filters() const {
    if (array_.filters.size() > 32) refuse("has {} filters; expected at most 32", array_.filters.size());
    for (const std::string& filter : array_.filters)
      if (!is_known_filter(filter))
        refuse(
            "is stored in chunks with the filter {}; expected gzip, lzf, shuffle or fletcher32, or none: {} "
            "where "
            "that filter is installed",
            filter, repack);
  }

  void check_shapes() const {
    std::vector<std::int64_t> all = array_.shape, row = array_.shape, chunk = array_.chunk;
    all.push_back(array_.element_bytes);
    if (checked_product(all) < 0)
      refuse("declares the shape [{}], more bytes than a file can hold", fmt::join(array_.shape, ", "));
    row.front() = chunk.front();
    row.push_back(array_.element_bytes);
    chunk.push_back(array_.element_bytes);
    const std::int64_t row_bytes = checked_product(row), chunk_bytes = checked_product(chunk);
    if (*std::min_element(chunk.begin(), chunk.end()) < 1)
      refuse("has chunks of shape [{}]; expected at least 1 along each axis", fmt::join(array_.chunk, ", "));
    if (row_bytes < 0 || row_bytes > largest_row || chunk_bytes < 0 || chunk_bytes > largest_row)
      refuse(
          "has chunks of shape [{}], so that one image asks for {} bytes to be decoded; expected at most {}: "
          "{}",
          fmt::join(array_.chunk, ", "), std::max(row_bytes, chunk_bytes), largest_row, repack);
    std::vector<std::int64_t> grid;
    for (std::size_t axis = 0; axis < array_.shape.size(); ++axis)
      grid.push_back((array_.shape[axis] - 1) / array_.chunk[axis] + 1);
    // Before memory is taken for them: each chunk has at least one byte.
    if (const std::int64_t chunks = checked_product(grid); chunks < 0 || chunks > file_.size())
      refuse(
          "declares the shape [{}] in chunks [{}], more than a file of {} bytes can hold: it was cut short "
          "or never "
          "written",
          fmt::join(array_.shape, ", "), fmt::join(array_.chunk, ", "), file_.size());
  }

  void fill() {
    const auto count = static_cast<std::size_t>(table_.rows() * table_.chunks_per_row());
    table_.offsets.assign(count, -1);
    table_.bytes.assign(count, 0);
    table_.left_out.assign(count, 0);
    for (Hdf5Chunk& chunk : hdf5_.chunks(name_)) {
      const std::size_t k = number_of(chunk);
      check_place(chunk);
      table_.offsets[k] = chunk.offset;
      table_.bytes[k] = chunk.bytes;
      table_.left_out[k] = chunk.left_out;
      by_number_.emplace_back(k, std::move(chunk));
    }
    if (const auto missing = std::find(table_.offsets.begin(), table_.offsets.end(), -1);
        missing != table_.offsets.end())
      refuse("has {} chunks, but number {} was never written", count, missing - table_.offsets.begin());
    if (std::all_of(table_.left_out.begin(), table_.left_out.end(),
                    [](std::int64_t bits) { return bits == 0; }))
      table_.left_out.clear();
  }

  std::size_t number_of(const Hdf5Chunk& chunk) const {
    std::int64_t number = 0;
    for (std::size_t axis = 0; axis < chunk.first.size(); ++axis) {
      const std::int64_t at = chunk.first[axis], extent = table_.chunk[axis], whole = table_.shape[axis];
      if (at < 0 || at >= whole || at % extent != 0)
        refuse("has a chunk at [{}], outside of its shape [{}]: the metadata are damaged",
               fmt::join(chunk.first, ", "), fmt::join(table_.shape, ", "));
      number = number * ((whole + extent - 1) / extent) + at / extent;
    }
    return static_cast<std::size_t>(number);
  }

  void check_place(const Hdf5Chunk& chunk) const {
    const std::int64_t size = file_.size(), plain = table_.chunk_bytes();
    const bool as_it_is = table_.filters.empty();
    // No compressor here makes its input larger by more than a small part.
    if (chunk.bytes < 1 || (as_it_is && chunk.bytes != plain) || chunk.bytes > plain + plain / 8 + 1024)
      refuse("has a chunk at [{}] of {} bytes; expected {}{}: the metadata are damaged",
             fmt::join(chunk.first, ", "), chunk.bytes, as_it_is ? "" : "about at most ", plain);
    if (chunk.offset < 0 || chunk.offset > size || chunk.bytes > size - chunk.offset)
      refuse(
          "has a chunk of {} bytes at offset {}, but the file has only {} bytes: it was cut short; copy it "
          "anew",
          chunk.bytes, chunk.offset, size);
    if (chunk.left_out < 0 || chunk.left_out >> table_.filters.size() != 0)
      refuse("has a chunk that leaves out filters it does not have: the metadata are damaged");
  }

  /// The library's view of the stored bytes of a few chunks against ours.
  void compare_samples() const {
    constexpr std::size_t samples = 8;
    for (std::size_t sample = 0; sample < samples; ++sample) {
      const auto& [number, chunk] = by_number_[sample * (by_number_.size() - 1) / (samples - 1)];
      std::vector<std::byte> bytes(static_cast<std::size_t>(chunk.bytes));
      file_.read_at(table_.offsets[number], bytes);
      if (bytes != hdf5_.read_chunk(name_, chunk))
        refuse("reads differently through libhdf5 at [{}]: {}", fmt::join(chunk.first, ", "), repack);
    }
  }

  const File& file_;
  const Hdf5File& hdf5_;
  const std::string& name_;
  const Hdf5Array& array_;
  ChunkTable table_;
  std::vector<std::pair<std::size_t, Hdf5Chunk>> by_number_;
};

}  // namespace

ChunkTable inspect_chunks(const File& file, const Hdf5File& hdf5, const std::string& name,
                          const Hdf5Array& array) {
  return ChunkInspector(file, hdf5, name, array).inspect();
}

}  // namespace ganymede
