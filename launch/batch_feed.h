#pragma once

#include <c10/core/Event.h>

#include <deque>

#include "datasets/loader.h"

namespace ganymede {

/// A loader's batches on the device that a run computes on. To a GPU they are copied from pinned memory on a
/// stream of their own, while the current stream is busy with the step before, and raw ones are converted
/// there:
///
///     method.step(step, [&] { return feed.next(); });  // queued, not done
///     feed.prefetch(batches_a_step);                   // copies while the GPU computes
class BatchFeed {
 public:
  /// `loader` must outlive it. `dtype` is what raw images are converted to.
  BatchFeed(Loader& loader, at::Device device, at::ScalarType dtype);
  /// The next batch. What the current stream does from now on comes after its copy.
  Batch next();
  /// Begins to copy the next `count` batches; waits for the loader, not for the GPU. Nothing on the host's
  /// own device.
  void prefetch(std::int64_t count);

 private:
  struct Staged {
    Batch batch;
    c10::Event copied;
  };
  void stage();

  Loader& loader_;
  at::Device device_;
  at::ScalarType dtype_;
  std::optional<c10::Stream> stream_;  ///< the copies'
  std::deque<Staged> staged_;
};

}  // namespace ganymede
