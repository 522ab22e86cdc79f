#pragma once

#include <torch/csrc/autograd/function.h>

#include <vector>

#include "core/share.h"
#include "distributed/communicator.h"
#include "distributed/stopwatch.h"

namespace ganymede {

/// Sums the gradients of one player over ranks, bucket by bucket, while backward goes on.
///
/// The gradients are views of one flat arena. Buckets are runs of consecutive parameters in reverse
/// registration order, which is about the order in which backward finishes them, and are always reduced in
/// that order: all ranks issue the same collectives whatever the order of events. A bucket starts once all
/// its parameters have their gradient and the bucket before it has started.
///
/// The hooks sit behind AccumulateGrad, which autograd::grad(..., create_graph) never reaches, so the inner
/// gradients of a penalty reduce nothing; and they act only between arm() and finalize(), so other players'
/// phases and all micro-steps but the last reduce nothing either.
///
///     reducer.arm();          // before the last micro-step's backward
///     loss.backward();
///     reducer.finalize();     // arena = sum over ranks
///
/// A reducer that scatters sends half as much: each rank gets the sums of its share of every bucket, and elsewhere in
/// the arena are numbers of no meaning. ArenaShards is made of its buckets, whose ends need not be parameters' there: a
/// few elements of one may travel with the bucket behind it.
class GradientReducer {
 public:
  struct Bucket {
    std::int64_t offset = 0;  ///< first element in the arena
    std::int64_t count = 0;   ///< elements, padding between tensors included
    std::int64_t parameters = 0;

    /// The part of the arena that is `rank`'s where so many ranks share the bucket.
    Share share(int rank, int ranks) const { return {offset + rank * (count / ranks), count / ranks}; }
  };

  /// What a round from arm() to finalize() sent.
  struct Traffic {
    std::int64_t collectives = 0;
    std::int64_t bytes = 0;
    double seconds = 0;  ///< of transfer: from each bucket's launch, or the end of the one before, to its end
    double exposed =
        0;  ///< seconds that finalize() held up what follows; the rest was hidden behind backward
  };

  /// `parameters[i]`'s gradient is the arena's part from offsets[i] on; offsets ascend. Buckets close once
  /// they hold at least `bucket_bytes`. Collectives run on `communicator`, which serves no one else
  /// meanwhile. Where it `scatters` the arena is cut into as many aligned parts as there are ranks (ArenaLayout).
  GradientReducer(std::vector<at::Tensor> parameters, std::vector<std::int64_t> offsets, at::Tensor arena,
                  Communicator& communicator, std::int64_t bucket_bytes, bool scatters = false);
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  /// From now on gradients that become final are reduced: one backward pass follows. In a second one
  /// backward throws std::logic_error.
  void arm();
  /// Reduces what is left (zeros where no gradient came) and waits for all; on a GPU the current stream
  /// waits, not the host. Collective. Throws std::logic_error if a gradient is no longer a view of the arena:
  /// its sum would be lost.
  void finalize();

  const std::vector<Bucket>& buckets() const { return buckets_; }
  /// Of the last round; zeros before it. Waits for the GPU.
  Traffic traffic() const;

 private:
  void ready(std::size_t parameter);
  void launch_ready_buckets();
  std::unique_ptr<Work> launch(const Bucket& bucket);

  std::vector<at::Tensor> parameters_;
  std::vector<std::int64_t> offsets_;
  at::Tensor arena_;
  Communicator& communicator_;
  bool scatters_;
  std::vector<Bucket> buckets_;
  std::vector<std::size_t> bucket_of_;
  std::vector<bool> arrived_;
  std::vector<std::int64_t> missing_;         // by bucket: gradients to come
  std::vector<std::unique_ptr<Work>> works_;  // of this round, or of the last one
  Stopwatch waiting_;
  bool armed_ = false;
  // The accumulators are kept alive, for a hook dies with its node; the keys take the hooks off again.
  std::vector<std::shared_ptr<torch::autograd::Node>> accumulators_;
  std::vector<std::uintptr_t> hooks_;
};

}  // namespace ganymede
