#pragma once

#include <torch/types.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <span>
#include <thread>

#include "core/philox.h"
#include "core/share.h"
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
  int prefetch = 4;           ///< micro-batches kept ready
  at::ScalarType dtype = at::kFloat;
};

/// One rank's share of a global micro-batch of consecutive positions.
struct Batch {
  at::Tensor images;          ///< [n, C, H, W] in [-1, 1], channels_last
  at::Tensor labels;          ///< [n] int64, -1 = none
  std::int64_t position = 0;  ///< global position of the micro-batch's first image
  Share share;                ///< this rank's rows within the micro-batch; n = share.count, which may be 0
};

/// Gives one micro-batch after the other, without end. A thread reads, checks the digest of each block once,
/// converts, and advises the kernel ahead. What comes depends on dataset, seed, position and micro-batch
/// alone: the shares of the ranks, joined, are the same at any world size. Row i of a micro-batch has global
/// position `position` + i, by which flips are drawn.
class Loader {
 public:
  /// `dataset` must outlive the loader.
  Loader(const ImageDataset& dataset, const LoaderOptions& options);
  /// Waits only for the image being read.
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// Waits for the next micro-batch. Throws what stopped the reading: Error(dataset) for damaged blocks and
  /// for values outside the range, Error(storage) for a disk that fails.
  Batch next();

 private:
  void run();
  bool stopped();
  Batch load(std::int64_t position);
  at::Tensor image_memory();
  void load_image(std::int64_t index, std::int64_t position, void* out);

  const ImageDataset& dataset_;
  const LoaderOptions options_;
  const Share share_;
  const SampleOrder order_;
  const PixelValues values_;
  const RandomStream flips_;
  Readahead readahead_;
  std::vector<std::byte> bytes_;
  std::vector<at::Tensor> pool_;  ///< memory of batches, used again once their tensors are gone

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Batch> ready_;
  std::exception_ptr error_;
  bool stop_ = false;
  std::thread thread_;  ///< last: it uses all the rest
};

}  // namespace ganymede
