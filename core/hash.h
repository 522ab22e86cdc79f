#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct XXH3_state_s;

namespace ganymede {

/// XXH3-64 of a stream of bytes: the checksum of every file and dataset block.
class Xxh3 {
 public:
  Xxh3();
  void update(std::span<const std::byte> bytes);
  std::uint64_t digest() const;

  static std::uint64_t of(std::span<const std::byte> bytes);
  static std::uint64_t of(std::string_view text) { return of(std::as_bytes(std::span(text))); }

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

/// CRC-32C (Castagnoli; RFC 3720, appendix B.4), which TFRecord files carry: 0xe3069283 of "123456789".
std::uint32_t crc32c(std::string_view bytes);

/// Sixteen lower-case hexadecimal digits.
std::string hex(std::uint64_t digest);

}  // namespace ganymede
