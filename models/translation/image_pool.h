#pragma once

#include "core/arena.h"
#include "core/philox.h"
#include "distributed/synchronised_moments.h"

namespace ganymede {

/// Generated images of the past, which D sees in the place of half the new ones (Shrivastava et al., arXiv 1612.07828,
/// section 2.3, as Zhu et al., arXiv 1703.10593, section 4, keep it). While it fills, images go in and are judged; then,
/// one after another in the order of the global batch, an image changes places with one of the pool that is drawn at
/// random, or, with probability one half, is judged itself.
///
/// Every rank holds the whole pool, the same on all: new images are gathered. What is drawn depends on the key and an
/// image's position in the global batch alone.
class ImagePool {
 public:
  /// Of `size` images [C, H, W]; 0 keeps none.
  ImagePool(std::string name, std::int64_t size, at::IntArrayRef image, const at::TensorOptions& options);

  bool wanted() const { return size_ > 0; }
  /// "<name>/images" [size, C, H, W] and "<name>/filled" [size], 1 where there is one: views.
  NamedTensors state() const;
  void reset();

  /// What D is to see in the place of this rank's new images [n, C, H, W], without a graph. `layout` says which of the
  /// micro-batch they are, whose first image is the `position`-th of the global batch; `seen` images had come before the
  /// batch. Collective, one all-reduce of the micro-batch's images, but where none are kept.
  at::Tensor exchange(const at::Tensor& images, const GroupLayout& layout, std::int64_t position,
                      std::int64_t seen, const RandomKey& key, Communicator& communicator);

 private:
  std::string name_;
  std::int64_t size_;
  at::Tensor images_, filled_;
};

}  // namespace ganymede
