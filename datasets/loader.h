#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <variant>
#include <vector>

#include "core/philox.h"
#include "core/share.h"
#include "datasets/companions.h"
#include "datasets/image_dataset.h"
#include "datasets/pixel_values.h"
#include "datasets/readahead.h"
#include "datasets/sample_order.h"

namespace ganymede {

struct LoaderOptions {
  std::int64_t micro_batch = 1;  ///< images in a global micro-batch, over all ranks
  int rank = 0, world_size = 1;
  std::uint64_t seed = 0;     ///< of order and flips
  std::uint64_t reseed = 0;   ///< of flips: see RandomKey
  std::int64_t position = 0;  ///< images that training has seen: where to continue
  bool flip = false;          ///< mirror each image left to right with probability one half
  std::int64_t shrink = 1;    ///< averages over shrink x shrink pixels: shrink_image()
  /// Of another dataset, whose smaller copies these images are; none: as suits this one.
  std::optional<SampleOrder::Options> order = {};
  int prefetch = 4;  ///< micro-batches kept ready
  at::ScalarType dtype = at::kFloat;
  bool raw = false;  ///< images as they are stored, for a GPU to convert; uint8 datasets only
  int threads = 0;   ///< that read, decode and convert; 0: one for every four cores, at most four
  CompanionNeeds companions = {};  ///< what the dataset must have beside images
};

/// One rank's share of a global micro-batch of consecutive positions.
struct Batch {
  at::Tensor images;          ///< [n, C, H, W] in [-1, 1], channels_last; raw: uint8, row by row
  at::Tensor labels;          ///< [n] int64, -1 = none
  std::int64_t position = 0;  ///< global position of the micro-batch's first image
  Share share;                ///< this rank's rows within the micro-batch; n = share.count, which may be 0
  at::Tensor flips = {};      ///< raw: [n] bool, which images are yet to be mirrored left to right
  /// [n, C', H, W] in [-1, 1]; paired: mirrored together with the image; unpaired: an order and flips of their own.
  at::Tensor sources = {};
  at::Tensor embeddings = {};        ///< [n, E] float32; [n, K, E] where all of an image's come
  at::Tensor other_embeddings = {};  ///< [n, E] of another image of the micro-batch each
  at::Tensor tokens = {};            ///< [n, L] int64: captions
};

/// Gives one micro-batch after the other, without end. Threads read, decode, check the digest of each block
/// once and convert, each its own micro-batch, and advise the kernel ahead. What comes depends on dataset,
/// seed, position and micro-batch alone: the shares of the ranks, joined, are the same at any world size. Row
/// i of a micro-batch has global position `position` + i, by which flips are drawn.
class Loader {
 public:
  /// `dataset` must outlive the loader.
  Loader(const ImageDataset& dataset, const LoaderOptions& options);
  /// Waits only for the images being read.
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// Waits for the next micro-batch. Throws what stopped the reading: Error(dataset) for damaged blocks and
  /// for values outside the range, Error(storage) for a disk that fails.
  Batch next();

  /// How the samples of a dataset are ordered, which also depends on how many must be decoded at a time.
  static SampleOrder::Options order_options(const ImageDataset& dataset);

 private:
  struct Task;
  using Result = std::variant<Batch, std::exception_ptr>;
  void run();
  std::optional<Task> next_task();
  Batch load(const Task& task);
  void put(std::int64_t position, Result result);
  at::Tensor image_memory();
  bool is_flipped(std::int64_t position) const;
  /// Memory of one image: as stored, and shrunk.
  struct Workplace {
    std::vector<std::byte> stored, shrunk;
  };
  void load_image(std::int64_t index, bool flip, Workplace& place, std::byte* out);

  const ImageDataset& dataset_;
  const LoaderOptions options_;
  const Share share_;
  const SampleOrder order_;
  const PixelValues values_;
  const std::int64_t height_, width_;  ///< of batches
  const RandomStream flips_;
  const int threads_;
  const std::int64_t room_;  ///< images of the micro-batches that are ready or being made

  std::mutex turn_;  ///< of the thread that takes the next micro-batch from the order; taken before `mutex_`
  Readahead readahead_;
  Companions companions_;
  std::int64_t taken_;  ///< position from which on nothing has been taken

  std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t given_;                    ///< position of the micro-batch that next() gives next
  std::map<std::int64_t, Result> ready_;  ///< by position
  std::vector<at::Tensor> pool_;          ///< memory of batches, used again once their tensors are gone
  std::atomic<bool> stop_ = false;
  std::vector<std::thread> workers_;  ///< last: they use all the rest
};

}  // namespace ganymede
