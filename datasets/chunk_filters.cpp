#include "datasets/chunk_filters.h"

#include <fmt/format.h>
#include <libdeflate.h>
#include <lzf.h>

#include <algorithm>
#include <cstring>
#include <memory>

namespace ganymede {
namespace {

using Bytes = std::span<const std::byte>;
using Room = std::span<std::byte>;

constexpr std::size_t checksum_bytes = 4;

/// Over big-endian 16-bit words, an odd last byte being the high one (HDF5 File Format Specification,
/// "Fletcher32").
std::uint32_t fletcher32(Bytes bytes) {
  constexpr std::size_t words_before_overflow = 360;
  std::uint32_t low = 0, high = 0;
  const auto fold = [&] {
    low = (low & 0xffff) + (low >> 16);
    high = (high & 0xffff) + (high >> 16);
  };
  std::size_t at = 0;
  while (at + 1 < bytes.size()) {
    const std::size_t end = std::min(bytes.size() & ~std::size_t{1}, at + 2 * words_before_overflow);
    for (; at < end; at += 2) {
      low += static_cast<std::uint32_t>(bytes[at]) << 8 | static_cast<std::uint32_t>(bytes[at + 1]);
      high += low;
    }
    fold();
  }
  if (at < bytes.size()) {
    low += static_cast<std::uint32_t>(bytes[at]) << 8;
    high += low;
    fold();
  }
  fold();
  return high << 16 | low;
}

/// What came of undoing a filter: how many bytes, or what is wrong.
struct Undone {
  std::size_t size = 0;
  std::string wrong = {};
};

Undone check_fletcher32(Bytes in, Room out) {
  if (in.size() < checksum_bytes) return {.wrong = fmt::format("holds {} bytes, no checksum", in.size())};
  const std::size_t size = in.size() - checksum_bytes;
  std::uint32_t expected = 0;  // stored little-endian
  std::memcpy(&expected, in.data() + size, checksum_bytes);
  const std::uint32_t found = fletcher32(in.first(size));
  if (found != expected)
    return {.wrong = fmt::format("has the Fletcher-32 checksum {:08x}; expected {:08x}", found, expected)};
  std::copy_n(in.begin(), size, out.begin());
  return {size};
}

/// Byte j of all values stands together.
Undone unshuffle(Bytes in, Room out, std::size_t value_bytes) {
  const std::size_t values = in.size() / value_bytes;
  for (std::size_t j = 0; j < value_bytes; ++j)
    for (std::size_t i = 0; i < values; ++i) out[i * value_bytes + j] = in[j * values + i];
  const auto rest = static_cast<std::ptrdiff_t>(values * value_bytes);
  std::copy(in.begin() + rest, in.end(), out.begin() + rest);
  return {in.size()};
}

Undone inflate(Bytes in, Room out) {
  struct Free {
    void operator()(libdeflate_decompressor* it) const { libdeflate_free_decompressor(it); }
  };
  thread_local const std::unique_ptr<libdeflate_decompressor, Free> decompressor(
      libdeflate_alloc_decompressor());
  if (!decompressor) throw std::bad_alloc();
  Undone undone;
  const libdeflate_result result = libdeflate_zlib_decompress(decompressor.get(), in.data(), in.size(),
                                                              out.data(), out.size(), &undone.size);
  if (result == LIBDEFLATE_BAD_DATA) undone.wrong = "holds damaged gzip data";
  if (result == LIBDEFLATE_INSUFFICIENT_SPACE) undone.wrong = "holds gzip data of more bytes than expected";
  return undone;
}

Undone unpack_lzf(Bytes in, Room out) {
  if (in.empty()) return {.wrong = "is empty"};  // the library reads a first byte in any case
  const unsigned size = lzf_decompress(in.data(), static_cast<unsigned>(in.size()), out.data(),
                                       static_cast<unsigned>(out.size()));
  if (size == 0) return {.wrong = "holds damaged LZF data"};
  return {size};
}

bool is_compressor(std::string_view filter) {
  return filter == "gzip" || filter == "lzf";
}

/// The most bytes that can come of undoing a filter over those `below`, which take a chunk of `plain` bytes
/// first.
std::size_t room_for(std::string_view filter, std::span<const std::string_view> below, std::size_t in,
                     std::size_t plain) {
  if (!is_compressor(filter)) return in;
  const auto checksums = static_cast<std::size_t>(std::count(below.begin(), below.end(), "fletcher32"));
  // A compressor may make its input larger by a small part.
  const bool compressed = std::any_of(below.begin(), below.end(), is_compressor);
  return plain + checksum_bytes * checksums + (compressed ? plain / 8 + 1024 : 0);
}

Undone undo_one(std::string_view filter, std::size_t value_bytes, Bytes in, Room out) {
  if (filter == "gzip") return inflate(in, out);
  if (filter == "lzf") return unpack_lzf(in, out);
  return filter == "shuffle" ? unshuffle(in, out, value_bytes) : check_fletcher32(in, out);
}

}  // namespace

bool is_known_filter(std::string_view name) {
  return name == "shuffle" || name == "gzip" || name == "lzf" || name == "fletcher32";
}

std::string ChunkFilters::undo(const ChunkTable& table, std::int64_t left_out, Bytes stored, Room plain) {
  std::vector<std::string_view> applied;
  for (std::size_t i = 0; i < table.filters.size(); ++i)
    if ((left_out >> i & 1) == 0) applied.push_back(table.filters[i]);
  Bytes in = stored;
  while (!applied.empty()) {
    const std::string_view filter = applied.back();
    applied.pop_back();
    std::vector<std::byte>& buffer = buffers_[applied.size() % 2];
    const std::size_t room = room_for(filter, applied, in.size(), plain.size());
    const bool last = applied.empty() && room <= plain.size();
    if (!last) buffer.resize(room);
    const Room out = last ? plain : Room(buffer);
    const Undone undone = undo_one(filter, static_cast<std::size_t>(table.element_bytes), in, out);
    if (!undone.wrong.empty()) return undone.wrong;
    in = out.first(undone.size);
  }
  if (in.size() != plain.size()) return fmt::format("holds {} bytes; expected {}", in.size(), plain.size());
  if (in.data() != plain.data()) std::copy(in.begin(), in.end(), plain.begin());
  return "";
}

}  // namespace ganymede
