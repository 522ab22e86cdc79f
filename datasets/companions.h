#pragma once

#include <optional>
#include <span>
#include <vector>

#include "core/philox.h"
#include "core/share.h"
#include "datasets/companion_needs.h"
#include "datasets/image_dataset.h"
#include "datasets/readahead.h"
#include "datasets/sample_order.h"

namespace ganymede {

struct Batch;

/// Throws Error(dataset), naming the remedy, unless the dataset has what is needed.
void check_companions(const ImageDataset& dataset, const CompanionNeeds& needs);

/// Rows first .. first + count - 1 of a set of uint8 images, which begins again at its end: [count, C, H, W] in [-1, 1],
/// float32.
at::Tensor read_sources(const ImageDataset& sources, std::int64_t first, std::int64_t count);
/// The same of embeddings [N, K, E]: [count, E] float32, the first of each image's K in the first round of N rows, the
/// second in the next.
at::Tensor read_embeddings(const ImageDataset& embeddings, std::int64_t first, std::int64_t count);
/// The same, all K of each image: [count, K, E].
at::Tensor read_all_embeddings(const ImageDataset& embeddings, std::int64_t first, std::int64_t count);
/// The same of tokens: [count, L] int64.
at::Tensor read_tokens(const ImageDataset& tokens, std::int64_t first, std::int64_t count);

/// What a loader reads beside images and labels. Like these it depends on dataset, seed, position and micro-batch alone.
/// Paired sources come in the images' order and are mirrored as these are; unpaired ones in an order and with flips of
/// their own, epoch after epoch of M. Which of an image's K embeddings comes is drawn by its global position, unless all do.
///
/// The other embedding of row i is that of row (i + B / 2) mod B of the global micro-batch of B images: of an image read
/// in another lane of the order, so that neighbours of one class do not meet.
class Companions {
 public:
  struct Setting {
    CompanionNeeds needs;
    std::int64_t micro_batch;
    Share share;  ///< this rank's rows of a micro-batch
    std::uint64_t seed, reseed;
    bool flip;
    at::ScalarType dtype;  ///< of sources
  };
  /// `dataset` and `order`, the images' own, must outlive it. Throws as check_companions() does.
  Companions(const ImageDataset& dataset, const SampleOrder& order, const Setting& setting);

  /// The rows of a micro-batch.
  struct Rows {
    std::vector<std::int64_t> sources, embeddings, others, tokens;
  };
  /// Advises the kernel too. `all` are the places of the whole micro-batch at `position`, `samples` this rank's images.
  /// By one thread at a time, in the order of positions.
  Rows take(std::int64_t position, std::span<const SampleOrder::Place> all,
            std::span<const std::int64_t> samples);
  /// Reads them into a batch whose position is set. Any thread. Throws Error(dataset) for damaged blocks and numbers
  /// that are not finite.
  void load(const Rows& rows, Batch& batch) const;

 private:
  at::Tensor load_sources(const std::vector<std::int64_t>& rows, std::int64_t position) const;
  at::Tensor load_embeddings(const std::vector<std::int64_t>& rows, std::int64_t position,
                             const RandomStream& captions) const;

  const ImageDataset& dataset_;
  const SampleOrder& order_;
  Setting setting_;
  std::optional<SampleOrder> own_order_;  // of unpaired sources
  std::optional<Readahead> readahead_, embedding_readahead_, token_readahead_;
  RandomStream flips_, captions_, other_captions_;
};

}  // namespace ganymede
