#include "datasets/schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace ganymede {

std::string schema::level_name(std::int64_t side) {
  return fmt::format("/data{0}x{0}", side);
}

std::vector<std::int64_t> schema::level_sides(std::int64_t height, std::int64_t width) {
  std::vector<std::int64_t> sides;
  if (height != width || !std::has_single_bit(static_cast<std::uint64_t>(height))) return sides;
  for (std::int64_t side = height / 2; side >= 4; side /= 2) sides.push_back(side);
  return sides;
}

std::int64_t digest_block_bytes(std::int64_t item_bytes) {
  return std::max<std::int64_t>(1, (std::int64_t{1} << 20) / item_bytes) * item_bytes;
}

std::int64_t checked_product(std::span<const std::int64_t> factors) {
  std::int64_t product = 1;
  for (const std::int64_t factor : factors)
    if (factor < 0 || __builtin_mul_overflow(product, factor, &product)) return -1;
  return product;
}

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i++]);
    if (lead == 0) return false;
    if (lead < 0x80) continue;
    const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead < 0xC2 || lead > 0xF4 || text.size() - i < static_cast<std::size_t>(more)) return false;
    std::uint32_t code = lead & (0x3Fu >> more);
    for (int k = 0; k < more; ++k) {
      const auto next = static_cast<unsigned char>(text[i++]);
      if ((next & 0xC0) != 0x80) return false;
      code = code << 6 | (next & 0x3Fu);
    }
    // Overlong forms, surrogates, and what lies beyond Unicode.
    constexpr std::uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};
    if (code < smallest[more] || (code >= 0xD800 && code < 0xE000) || code > 0x10FFFF) return false;
  }
  return true;
}

}  // namespace ganymede
