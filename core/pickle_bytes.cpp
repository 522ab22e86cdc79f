#include "core/pickle_bytes.h"

#include <bit>
#include <charconv>

#include "core/error.h"
#include "core/strict_json.h"

namespace ganymede {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they lie in the pickle");

template <class Number>
Number parse(std::string_view digits, const PickleBytes& bytes) {
  Number value{};
  const char* last = digits.data() + digits.size();
  const auto [end, error] = std::from_chars(digits.data(), last, value);
  if (error != std::errc() || end != last) bytes.fail_here(fmt::format("{} is no number", quote(digits)));
  return value;
}

}  // namespace

unsigned char PickleBytes::opcode() {
  opcode_at_ = position_;
  return static_cast<unsigned char>(take(1).front());
}

std::string_view PickleBytes::take(std::uint64_t count) {
  require(count);
  const std::string_view taken = bytes_.substr(position_, static_cast<std::size_t>(count));
  position_ += taken.size();
  return taken;
}

std::string_view PickleBytes::line() {
  const std::size_t end = bytes_.find('\n', position_);
  if (end == std::string_view::npos)
    fail(ExitCode::checkpoint, "{} is cut short: the line at byte {} of its pickle has no end", where_,
         position_);
  const std::string_view text = bytes_.substr(position_, end - position_);
  position_ = end + 1;
  return text;
}

std::uint32_t PickleBytes::name_in_line() {
  return parse<std::uint32_t>(line(), *this);
}

double PickleBytes::real_in_line() {
  return parse<double>(line(), *this);
}

void PickleBytes::require(std::uint64_t count) const {
  if (count > bytes_.size() - position_)
    fail(ExitCode::checkpoint, "{} is cut short: its pickle needs {} bytes at byte {}, {} are left", where_,
         count, position_, bytes_.size() - position_);
}

void PickleBytes::fail_here(const std::string& what) const {
  fail(ExitCode::checkpoint, "{}: {}, at byte {} of its pickle", where_, what, opcode_at_);
}

void PickleBytes::fail_for_code(const std::string& name) const {
  fail(ExitCode::checkpoint,
       "{} holds code ({}, at byte {} of its pickle), and none of it was run: only tensors, dicts, lists, "
       "numbers and text are read; where the file is trusted, save its state dict alone with torch.save",
       where_, name, opcode_at_);
}

}  // namespace ganymede
