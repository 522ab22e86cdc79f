#include "datasets/npy.h"

#include <fmt/ranges.h>

#include <array>
#include <charconv>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "core/error.h"

namespace ganymede {
namespace {

constexpr std::size_t longest_header = 64 << 10;

/// A reader of the one Python literal that a header holds:
/// {'descr': '<f4', 'fortran_order': False, 'shape': (10, 3), }
class HeaderText {
 public:
  HeaderText(std::string_view text, std::string_view name) : rest_(text), name_(name) {}

  NpyHeader parse() {
    expect('{');
    while (!accept('}')) {
      const std::string_view key = quoted();
      expect(':');
      if (key == "descr")
        read_type();
      else if (key == "fortran_order")
        read_order();
      else if (key == "shape")
        read_shape();
      else
        damaged();
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_spaces();
    if (!rest_.empty() || header_.kind == 0 || !has_order_ || !has_shape_) damaged();
    return header_;
  }

 private:
  void read_type() {
    if (header_.kind != 0) damaged();
    if (peek() == '[') fail(ExitCode::dataset, "{} holds records: save one plain array a name", name_);
    const std::string_view type = quoted();
    if (type.size() < 2) damaged();
    header_.kind = type[1];
    const auto [end, error] = std::from_chars(type.data() + 2, type.data() + type.size(), header_.item_bytes);
    if (header_.kind == 'O')
      fail(ExitCode::dataset, "{} holds Python objects: save an array of numbers", name_);
    if (type[0] == '>')
      fail(ExitCode::dataset, "{} is big-endian ({}): save array.astype(array.dtype.newbyteorder('<'))",
           name_, type);
    if (error != std::errc() || end != type.data() + type.size() || header_.item_bytes < 1 ||
        header_.item_bytes > 1 << 20 || (type[0] != '<' && type[0] != '|') ||
        std::strchr("uifbcUSV", header_.kind) == nullptr)
      damaged();
    if (header_.kind == 'U') header_.item_bytes *= 4;
  }

  void read_order() {
    if (has_order_) damaged();
    has_order_ = true;
    if (accept_word("True"))
      fail(ExitCode::dataset, "{} is in Fortran order: save numpy.ascontiguousarray(array)", name_);
    if (!accept_word("False")) damaged();
  }

  void read_shape() {
    if (has_shape_) damaged();
    has_shape_ = true;
    expect('(');
    while (!accept(')')) {
      header_.shape.push_back(number());
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
  }

  std::int64_t number() {
    skip_spaces();
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc() || value < 0) damaged();
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return value;
  }

  std::string_view quoted() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') damaged();
    rest_.remove_prefix(1);
    const std::size_t end = rest_.find(quote);
    if (end == std::string_view::npos) damaged();
    const std::string_view text = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return text;
  }

  void skip_spaces() {
    const std::size_t start = rest_.find_first_not_of(" \t\n\r");
    rest_.remove_prefix(start == std::string_view::npos ? rest_.size() : start);
  }

  char peek() {
    skip_spaces();
    return rest_.empty() ? '\0' : rest_.front();
  }

  bool accept(char c) {
    if (peek() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool accept_word(std::string_view word) {
    skip_spaces();
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }

  void expect(char c) {
    if (!accept(c)) damaged();
  }

  [[noreturn]] void damaged() const {
    fail(ExitCode::dataset, "{} has a damaged .npy header: save the array again", name_);
  }

  std::string_view rest_;
  std::string_view name_;
  NpyHeader header_;
  bool has_order_ = false;
  bool has_shape_ = false;
};

/// Little-endian, of up to four bytes.
std::uint32_t little_endian(std::span<const std::byte> bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | std::to_integer<std::uint32_t>(bytes[i]);
  return value;
}

template <class Integer>
std::vector<std::int64_t> widened(std::span<const std::byte> values, std::string_view name) {
  std::vector<std::int64_t> result;
  result.reserve(values.size() / sizeof(Integer));
  for (std::size_t i = 0; i + sizeof(Integer) <= values.size(); i += sizeof(Integer)) {
    Integer value;
    std::memcpy(&value, values.data() + i, sizeof value);
    if (!std::in_range<std::int64_t>(value)) fail(ExitCode::dataset, "{}: {} is out of range", name, value);
    result.push_back(static_cast<std::int64_t>(value));
  }
  return result;
}

std::optional<std::string> utf8(std::uint32_t code) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | ((code >> shift) & 0x3F)); };
  if (code < 0x80) return std::string{static_cast<char>(code)};
  if (code < 0x800) return std::string{static_cast<char>(0xC0 | code >> 6), tail(0)};
  if ((code >= 0xD800 && code < 0xE000) || code > 0x10FFFF) return std::nullopt;
  if (code < 0x10000) return std::string{static_cast<char>(0xE0 | code >> 12), tail(6), tail(0)};
  return std::string{static_cast<char>(0xF0 | code >> 18), tail(12), tail(6), tail(0)};
}

}  // namespace

std::int64_t NpyHeader::count() const {
  std::int64_t product = 1;
  for (const std::int64_t length : shape) product *= length;
  return product;
}

std::string NpyHeader::type() const {
  const char* name = kind == 'u'   ? "uint"
                     : kind == 'i' ? "int"
                     : kind == 'f' ? "float"
                     : kind == 'b' ? "bool"
                     : kind == 'c' ? "complex"
                                   : "text";
  return fmt::format("{}{}", name, item_bytes * 8);
}

std::string NpyHeader::description() const {
  return fmt::format("{} [{}]", type(), fmt::join(shape, ", "));
}

NpyHeader read_npy_header(const ReadBytes& read, std::string_view name) {
  const auto read_exactly = [&](std::span<std::byte> bytes) {
    if (read(bytes) != bytes.size())
      fail(ExitCode::dataset, "{} ends within its .npy header: save it again", name);
  };
  std::array<std::byte, 8> start;
  read_exactly(start);
  const int version = std::to_integer<int>(start[6]);
  if (std::memcmp(start.data(), "\x93NUMPY", 6) != 0 || version < 1 || version > 3)
    fail(ExitCode::dataset, "{} is not a .npy array of version 1 to 3: save it with NumPy", name);
  std::array<std::byte, 4> length;
  const auto length_bytes = std::span(length).first(version == 1 ? 2 : 4);
  read_exactly(length_bytes);
  const std::size_t size = little_endian(length_bytes);
  if (size > longest_header)
    fail(ExitCode::dataset, "{} claims a header of {} bytes: save it again", name, size);
  std::string text(size, '\0');
  read_exactly(std::as_writable_bytes(std::span(text)));
  const NpyHeader header = HeaderText(text, name).parse();
  std::int64_t bytes = header.item_bytes;
  for (const std::int64_t dimension : header.shape)
    if (__builtin_mul_overflow(bytes, dimension, &bytes))
      fail(ExitCode::dataset, "{} claims more bytes than can be: {}", name, header.description());
  return header;
}

std::vector<std::int64_t> npy_integers(const NpyHeader& header, std::span<const std::byte> values,
                                       std::string_view name) {
  if (header.kind == 'i' || header.kind == 'u') {
    const bool sign = header.kind == 'i';
    switch (header.item_bytes) {
      case 1:
        return sign ? widened<std::int8_t>(values, name) : widened<std::uint8_t>(values, name);
      case 2:
        return sign ? widened<std::int16_t>(values, name) : widened<std::uint16_t>(values, name);
      case 4:
        return sign ? widened<std::int32_t>(values, name) : widened<std::uint32_t>(values, name);
      case 8:
        return sign ? widened<std::int64_t>(values, name) : widened<std::uint64_t>(values, name);
      default:
        break;
    }
  }
  fail(ExitCode::dataset, "{} is {}, not whole numbers: save array.astype('int64')", name,
       header.description());
}

std::vector<std::string> npy_strings(const NpyHeader& header, std::span<const std::byte> values,
                                     std::string_view name) {
  if (header.kind != 'U' && header.kind != 'S')
    fail(ExitCode::dataset, "{} is {}, not text: save an array of strings", name, header.description());
  const std::size_t step = header.kind == 'U' ? 4 : 1;
  std::vector<std::string> result;
  for (std::int64_t i = 0; i < header.count(); ++i) {
    const auto item = values.subspan(static_cast<std::size_t>(i * header.item_bytes),
                                     static_cast<std::size_t>(header.item_bytes));
    std::string text;
    for (std::size_t at = 0; at < item.size(); at += step) {
      const std::uint32_t code = little_endian(item.subspan(at, step));
      const auto character = step == 1 ? std::string{static_cast<char>(code)} : utf8(code);
      if (!character) fail(ExitCode::dataset, "{}: string {} is not Unicode", name, i);
      text += *character;
    }
    text.erase(text.find_last_not_of('\0') + 1);
    result.push_back(std::move(text));
  }
  return result;
}

}  // namespace ganymede
