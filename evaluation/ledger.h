#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>

#include <span>
#include <string>
#include <vector>

namespace ganymede {

/// Which images were seen, by index, and what their pixels were: sums that ranks add up in any order, and
/// that a missing, doubled or exchanged image changes. Hashes are XXH3-64, summed modulo 2^64.
///
///     Ledger ledger;
///     ledger.add(index, pixels);                       // as often as there are images
///     communicator.all_reduce(ledger.sums())->wait();
///     ledger.covers(indices)                           // each of them once and no other
class Ledger {
 public:
  /// `pixels` uint8, contiguous. Call with finite = false for an image whose features are no numbers.
  void add(std::int64_t index, const at::Tensor& pixels, bool finite = true);

  /// The state itself, float64: what a caller adds in place belongs to this ledger from then on. Exact for
  /// up to 2^31 images.
  at::Tensor sums() { return sums_; }

  /// Whether the images added are `indices`, each once.
  bool covers(std::span<const std::int64_t> indices) const;
  /// Images whose features were not finite.
  std::int64_t broken() const;
  /// Sixteen digits that tell these images, pixels and indices, from others.
  std::string digest() const;

 private:
  void add_hash(std::int64_t place, std::uint64_t hash);
  std::uint64_t hash(std::int64_t place) const;

  at::Tensor sums_ = at::zeros({9}, at::kDouble);
};

}  // namespace ganymede
