#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace ganymede {

/// The bytes of a pickle, taken from the front: opcodes and their arguments. Numbers are little-endian.
/// Everything throws Error(`checkpoint`), beginning with `where`, if there are too few.
class PickleBytes {
 public:
  /// Both must outlive it.
  PickleBytes(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  /// What follows is this opcode's; messages give its position.
  unsigned char opcode();
  std::string_view take(std::uint64_t count);
  /// Without the newline that ends it.
  std::string_view line();
  template <class Number>
  Number number() {
    Number value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  /// The name of something remembered, as a line of digits.
  std::uint32_t name_in_line();
  double real_in_line();

  /// Bytes taken.
  std::size_t position() const { return position_; }
  const std::string& where() const { return where_; }
  /// Throws unless `count` bytes are left.
  void require(std::uint64_t count) const;
  /// Throws Error(`checkpoint`): where, what, and the opcode's position.
  [[noreturn]] void fail_here(const std::string& what) const;
  /// The same for names and opcodes that would run something.
  [[noreturn]] void fail_for_code(const std::string& name) const;

 private:
  std::string_view bytes_;
  const std::string& where_;
  std::size_t position_ = 0;
  std::size_t opcode_at_ = 0;
};

}  // namespace ganymede
