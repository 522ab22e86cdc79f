#pragma once

#include <ATen/ops/arange.h>

#include <functional>

#include "core/metrics/moments.h"
#include "core/share.h"
#include "distributed/communicator.h"
#include "evaluation/image_set.h"
#include "models/features/feature_extractor.h"

namespace ganymede {

/// What metrics want of a set of images.
struct PassRequest {
  bool moments = false;          ///< of the pool features
  bool spatial_moments = false;  ///< of the spatial ones
  /// Rows that stay, each on the rank that made it.
  bool rows = false, logits = false;
  std::int64_t images = 0;  ///< of all ranks, whose pixels stay as well

  FeatureRequest features() const {
    return {.pool = moments || rows, .spatial = spatial_moments, .logits = logits};
  }
  PassRequest operator|(const PassRequest& other) const;
};

struct PassOptions {
  std::int64_t count = 0;  ///< images, a random subset by `seed`; 0 = all
  std::uint64_t seed = 0;
  std::int64_t batch = 64;  ///< images a rank looks at at once
  std::int64_t blocks = 1;  ///< disjoint random parts of nearly one size that the moments are kept apart for
  /// Of all ranks' pixels that stay, whatever was requested (but two images): the bound of a rank's memory,
  /// which may not depend on how many there are.
  std::int64_t most_pixel_bytes = std::int64_t{256} << 20;
  /// Told of this rank's images, at the beginning and after each batch; may be empty.
  std::function<void(std::int64_t done, std::int64_t total)> advance = {};
  std::function<bool()> stop = {};  ///< asked after each batch: whether to give up
};

/// What a pass leaves. Position p is the p-th image looked at, in order of index; the rows of a rank are
/// those of its share of the positions. Legend: N images in all, n of this rank, D dimensions.
struct ImageFeatures {
  std::vector<std::int64_t> indices;  ///< [N] in the set
  std::int64_t unit = 1;              ///< of shares
  Share share;                        ///< n positions
  at::Tensor pool;                    ///< [n, D] float32, if wanted, as the next two
  at::Tensor logits;                  ///< [n, K]
  std::vector<std::int64_t> kept;     ///< positions of all ranks whose pixels stay, ascending: kept_of()
  at::Tensor images;                  ///< uint8 [i, C, H, W]: of the kept ones in the share
  at::Tensor labels;                  ///< [N] of all ranks' images; undefined without any
  std::vector<Moments> blocks;        ///< of all ranks, if wanted
  std::vector<Moments> spatial;       ///< one, if wanted
  std::string digest;                 ///< of indices and pixels: sixteen digits, the same at any rank count
  std::uint64_t seed = 0;             ///< the pass's

  std::int64_t count() const { return std::ssize(indices); }
  /// At most `most` positions whose pixels stayed, ascending. They do not depend on how many others stayed: a
  /// score is the same whatever was asked for beside it.
  std::vector<std::int64_t> kept_of(std::int64_t most) const;
  /// Position of each of this rank's rows.
  at::Tensor positions() const { return at::arange(share.first, share.first + share.count, at::kLong); }
};

/// Looks at each image once, shared out among the ranks in order, whatever the remainder, and merges the
/// moments by all-reduce: up to rounding the same at any rank count and batch size. That no image was missed
/// or seen twice is checked by index. Collective. Throws SharedError(checkpoint) on all ranks where features
/// are not finite; Error(dataset) on the rank that cannot read an image.
ImageFeatures feature_pass(Communicator& ranks, ImageSet& set, FeatureExtractor& extractor,
                           const PassRequest& request, const PassOptions& options);

}  // namespace ganymede
