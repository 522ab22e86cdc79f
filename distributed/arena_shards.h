#pragma once

#include "distributed/gradient_reducer.h"

namespace ganymede {

/// Who of the ranks holds what of arenas that are spread over them (Rajbhandari et al., arXiv 1910.02054, section 5.1:
/// P_os). Each rank owns an even share of every bucket of a reducer that scatters, so that its sums come where the
/// owner's optimiser needs them. A rank's shard is one flat tensor: its shares, bucket after bucket.
///
///     for (std::size_t b = 0; b < shards.own(weights).size(); ++b) {
///       step(shards.own(weights)[b], shards.own(gradients)[b], shards.parts(moments)[b]);
///       shards.begin_gather(weights, b);   // the next bucket's step goes on meanwhile
///     }
///     shards.finish_gather();              // the weights are whole on every rank
///
/// Arenas are flat and of the size that the reducer was made for. begin_gather, finish_gather and gathered are
/// collective.
class ArenaShards {
 public:
  /// `communicator`: the reducer's.
  ArenaShards(std::vector<GradientReducer::Bucket> buckets, Communicator& communicator, at::Device device);

  /// Elements of a shard.
  std::int64_t size() const;
  /// This rank's shares of an arena, by bucket: views.
  std::vector<at::Tensor> own(const at::Tensor& arena) const;
  /// The same of its shard.
  std::vector<at::Tensor> parts(const at::Tensor& shard) const;

  /// Every rank's shares of a bucket of `arena` are on their way to all ranks.
  void begin_gather(const at::Tensor& arena, std::size_t bucket);
  /// Until all that was begun is there; on a GPU the current stream waits, not the host.
  void finish_gather();
  /// What the last gathers sent, from the first begin_gather() to finish_gather(). Waits for the GPU.
  GradientReducer::Traffic traffic() const;

  /// A new arena that holds all ranks' shards.
  at::Tensor gathered(const at::Tensor& shard) const;
  /// A new arena that holds this rank's shard; elsewhere it is zero.
  at::Tensor alone(const at::Tensor& shard) const;
  /// `shard` becomes this rank's shares of `arena`.
  void take(const at::Tensor& arena, const at::Tensor& shard) const;

 private:
  at::Tensor whole_bucket(const at::Tensor& arena, std::size_t bucket) const;

  std::vector<GradientReducer::Bucket> buckets_;
  Communicator& communicator_;
  std::vector<std::unique_ptr<Work>> works_;  // of the gathers under way, or of the last ones
  std::int64_t bytes_ = 0;
  bool under_way_ = false;
  Stopwatch waiting_;
};

}  // namespace ganymede
