#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ganymede {

/// What the header of a .npy array says: little-endian values in C order.
struct NpyHeader {
  char kind = 0;                ///< NumPy's letter: u, i, f, b; U and S for text
  std::int64_t item_bytes = 0;  ///< of one value; for U four times its characters
  std::vector<std::int64_t> shape = {};

  std::int64_t count() const;  ///< product of the shape
  std::string type() const;    ///< as NumPy names it, e.g. "float32"
  std::int64_t bytes() const { return count() * item_bytes; }
  /// As NumPy writes it, e.g. "float32 [10, 3, 8, 8]".
  std::string description() const;
};

/// Fills the bytes given, and returns how many came: fewer only at the end.
using ReadBytes = std::function<std::size_t(std::span<std::byte>)>;

/// Reads a header of format version 1, 2 or 3 up to where the values begin. Throws Error(dataset) naming
/// `name` and the remedy for anything else: big-endian, Fortran order, objects, records, values of
/// no bytes, more bytes than 63 bits count.
NpyHeader read_npy_header(const ReadBytes& read, std::string_view name);

/// Whole numbers of any width as int64. Throws Error(dataset) naming `name` if one does not fit.
std::vector<std::int64_t> npy_integers(const NpyHeader& header, std::span<const std::byte> values,
                                       std::string_view name);

/// Text of kind U or S as UTF-8, without the padding.
std::vector<std::string> npy_strings(const NpyHeader& header, std::span<const std::byte> values,
                                     std::string_view name);

}  // namespace ganymede
