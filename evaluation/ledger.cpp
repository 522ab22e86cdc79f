#include "evaluation/ledger.h"

#include "core/hash.h"

namespace ganymede {
namespace {

// Where in the sums: a hash takes three places of 22 bits, so that 2^31 of them add up exactly.
enum Place : std::int64_t { images = 0, not_finite = 1, index_sum = 2, index_hash = 3, pixel_hash = 6 };
constexpr int piece_bits = 22;
constexpr std::uint64_t piece_mask = (std::uint64_t{1} << piece_bits) - 1;

std::uint64_t hash_of(std::int64_t index) {
  return Xxh3::of(std::as_bytes(std::span(&index, 1)));
}

}  // namespace

void Ledger::add(std::int64_t index, const at::Tensor& pixels, bool finite) {
  double* sums = sums_.data_ptr<double>();
  sums[images] += 1;
  sums[not_finite] += finite ? 0 : 1;
  sums[index_sum] += static_cast<double>(index);
  add_hash(index_hash, hash_of(index));
  Xxh3 both;
  both.update(std::as_bytes(std::span(&index, 1)));
  both.update(std::as_bytes(std::span(pixels.const_data_ptr<std::uint8_t>(), pixels.nbytes())));
  add_hash(pixel_hash, both.digest());
}

void Ledger::add_hash(std::int64_t place, std::uint64_t hash) {
  double* pieces = sums_.data_ptr<double>() + place;
  for (int i = 0; i < 3; ++i) pieces[i] += static_cast<double>(hash >> (i * piece_bits) & piece_mask);
}

std::uint64_t Ledger::hash(std::int64_t place) const {
  const double* pieces = sums_.const_data_ptr<double>() + place;
  std::uint64_t sum = 0;
  for (int i = 0; i < 3; ++i) sum += static_cast<std::uint64_t>(pieces[i]) << (i * piece_bits);
  return sum;
}

bool Ledger::covers(std::span<const std::int64_t> indices) const {
  double sum = 0;
  std::uint64_t hashes = 0;
  for (const std::int64_t index : indices) {
    sum += static_cast<double>(index);
    hashes += hash_of(index);
  }
  const double* sums = sums_.const_data_ptr<double>();
  return sums[images] == static_cast<double>(indices.size()) && sums[index_sum] == sum &&
         hash(index_hash) == hashes;
}

std::int64_t Ledger::broken() const {
  return static_cast<std::int64_t>(sums_.const_data_ptr<double>()[not_finite]);
}

std::string Ledger::digest() const {
  return hex(hash(pixel_hash));
}

}  // namespace ganymede
