#include "tests/fuzz/mutation.h"

#include <algorithm>
#include <cstring>

#include "core/philox.h"

namespace ganymede {
namespace {

/// Numbers of one mutant.
class Draw {
 public:
  Draw(std::uint64_t seed, std::uint64_t number) : stream_({.seed = seed, .phase = "mutant"}), number_(number) {}

  /// In [0, end); 0 where that is empty.
  std::size_t below(std::size_t end) { return end == 0 ? 0 : stream_.bits(number_, next_++) % end; }

  /// A place in a file of `size` bytes.
  std::size_t place(std::size_t size) {
    constexpr std::size_t edge = 1024;
    const std::size_t where = below(4), near = std::min(size, edge);
    if (where == 0) return below(near);
    return where == 1 ? size - near + below(near) : below(size);
  }

 private:
  RandomStream stream_;
  std::uint64_t number_;
  std::uint32_t next_ = 0;
};

void change_bytes(std::string& bytes, Draw& draw) {
  for (std::size_t left = 1 + draw.below(6); left > 0; --left) {
    char& byte = bytes[draw.place(bytes.size())];
    constexpr char edges[] = {'\0', '\xff', '\x7f', '\x80', '9', '-', '"', '}'};
    switch (draw.below(3)) {
      case 0:
        byte = static_cast<char>(byte ^ 1 << draw.below(8));
        break;
      case 1:
        byte = static_cast<char>(draw.below(256));
        break;
      default:
        byte = edges[draw.below(std::size(edges))];
    }
  }
}

/// A little-endian whole number of 1 to 8 bytes.
void change_number(std::string& bytes, Draw& draw) {
  const std::size_t size = std::size_t{1} << draw.below(4), at = draw.place(bytes.size()) / size * size;
  if (at + size > bytes.size()) return;
  const std::uint64_t values[] = {0, 1, ~std::uint64_t{0}, std::uint64_t{1} << 31, std::uint64_t{1} << 63,
                                  std::uint64_t{1} << draw.below(64), bytes.size(), draw.below(bytes.size())};
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data() + at, size);
  value = draw.below(2) == 0 ? value + draw.below(9) - 4 : values[draw.below(std::size(values))];
  std::memcpy(bytes.data() + at, &value, size);
}

void change_length(std::string& bytes, Draw& draw) {
  const std::size_t at = draw.place(bytes.size()), run = 1 + draw.below(draw.below(2) == 0 ? 16 : 1024);
  switch (draw.below(5)) {
    case 0:
      bytes.resize(at);
      break;
    case 1:
      bytes.insert(at, std::string(run, static_cast<char>(draw.below(256))));
      break;
    case 2:
      bytes.erase(at, run);
      break;
    case 3:
      bytes.insert(at, bytes.substr(draw.place(bytes.size()), run));
      break;
    default:
      bytes.append(run, static_cast<char>(draw.below(256)));
  }
}

/// What stood elsewhere, or nothing: a sector written to the wrong place, or lost.
void change_run(std::string& bytes, Draw& draw) {
  const std::size_t at = draw.place(bytes.size()), run = 1 + draw.below(1024);
  const bool is_lost = draw.below(2) == 0;
  std::string other = is_lost ? std::string(run, '\0') : bytes.substr(draw.place(bytes.size()), run);
  other.resize(std::min(other.size(), bytes.size() - at));
  bytes.replace(at, other.size(), other);
}

}  // namespace

std::string mutant_of(std::string bytes, std::uint64_t seed, std::uint64_t number) {
  Draw draw(seed, number);
  for (std::size_t left = 1 + draw.below(3) / 2; left > 0 && !bytes.empty(); --left) switch (draw.below(6)) {
      case 0:
        change_length(bytes, draw);
        break;
      case 1:
        change_run(bytes, draw);
        break;
      case 2:
      case 3:
        change_number(bytes, draw);
        break;
      default:
        change_bytes(bytes, draw);
    }
  return bytes;
}

}  // namespace ganymede
