#pragma once

#include "core/philox.h"
#include "core/share.h"
#include "distributed/synchronised_moments.h"
#include "tests/distributed/world.h"

namespace ganymede::test {

/// A micro-batch that every rank knows as a whole, and the part that a rank of the world holds.
class SpreadImages {
 public:
  SpreadImages(std::int64_t total, std::int64_t group)
      : share_(share_of(total, world().rank(), world().size())), layout_{share_.first, total, group} {}

  const GroupLayout& layout() const { return layout_; }
  std::int64_t groups() const { return layout_.groups(); }
  std::int64_t count() const { return share_.count; }

  /// Normal numbers, one row an image: the whole micro-batch.
  at::Tensor draw(at::IntArrayRef image_shape, const char* stream) const {
    std::vector<std::int64_t> shape = image_shape.vec();
    shape.insert(shape.begin(), layout_.total);
    const RandomStream random({.seed = 5, .phase = "images", .stream = stream});
    return random.normal(0, layout_.total, c10::multiply_integers(image_shape), at::kDouble)
        .view(shape)
        .to(device());
  }
  /// This rank's rows: a leaf.
  at::Tensor mine(const at::Tensor& whole) const {
    return whole.detach().narrow(0, share_.first, share_.count).clone();
  }
  /// Group g's rows.
  at::Tensor of_group(const at::Tensor& whole, std::int64_t g) const {
    return whole.narrow(0, g * layout_.group, layout_.group);
  }

 private:
  Share share_;
  GroupLayout layout_;
};

/// Micro-batches and groups: some divide evenly among ranks, in some groups lie on several ranks.
struct Cut {
  std::int64_t total, group;
};
inline constexpr Cut cuts[] = {{4, 4}, {7, 7}, {10, 5}, {10, 2}, {12, 4}, {12, 3}, {9, 1}};

inline double relative_error(const at::Tensor& value, const at::Tensor& reference) {
  return ((value - reference).norm() / reference.norm()).item<double>();
}

}  // namespace ganymede::test
