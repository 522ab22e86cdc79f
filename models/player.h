#pragma once

#include <torch/nn/module.h>

#include <functional>

#include "core/adam.h"
#include "core/arena.h"
#include "core/options.h"
#include "core/schedule.h"
#include "distributed/arena_shards.h"
#include "distributed/gradient_reducer.h"
#include "models/update_guard.h"

namespace ganymede {

/// How one player learns.
struct OptimizerOptions {
  /// adam, or rmsprop: w = w - lr g / (sqrt(v) + eps), v = beta2 v + (1 - beta2) g^2 (Tieleman and Hinton,
  /// lecture 6.5 of "Neural networks for machine learning", 2012), with beta1 = 0.
  std::string optimizer = "adam";
  double lr = 2e-4;
  double beta1 = 0.0;
  double beta2 = 0.999;
  double eps = 1e-6;
  double weight_decay = 0;  ///< in an update each weight is multiplied by 1 - rate * weight_decay (AdamStep)
  std::int64_t warmup = 0;
  std::string decay = "constant";
  std::int64_t decay_from = 0;
  std::int64_t decay_until = 0;
  double final_factor = 0;
  double clip = 0;             ///< largest global norm of the gradient; 0 = no clipping
  double ema = 0;              ///< decay of the weights' moving average; 0 = none
  std::int64_t ema_start = 0;  ///< updates during which the average is a copy
  /// The average's half-life is at most this times the updates before: while a network is young it forgets sooner
  /// (Karras et al., arXiv 2006.06676: 0.05, there in images); 0 = it is always that of `ema`. Not counted are updates
  /// that averages do not follow.
  double ema_ramp = 0;
  std::int64_t extra_every = 0;  ///< of with_extra_updates(), 0 = none: no option

  /// Adds "<section>.lr" and so on.
  void describe(OptionSchema& schema, const std::string& section);
  /// Adds "<section>.ema", "<section>.ema_start" and "<section>.ema_ramp", for players whose average someone reads.
  void describe_average(OptionSchema& schema, const std::string& section);
  /// Lazy regularisation (Karras et al., arXiv 1912.04958, appendix B): a regulariser with an update of its own after
  /// each `every` updates makes k + 1 updates of k, k = every. With c = k / (k + 1): lr c, beta1^c and beta2^c.
  OptimizerOptions with_extra_updates(std::int64_t every) const;
  /// The average's decay in an update, the first of which is 1.
  double average_decay(std::int64_t update) const;
  /// Throws Error(options) where a decay ends before it begins, or rmsprop is given a first moment.
  void check(const std::string& section) const;
  /// A sentence where a run of so many updates outlasts its learning rate, else "".
  std::string warning(const std::string& section, std::int64_t updates) const;
};

/// A network with its optimiser, gradient reducer and moving averages. Weights, gradients, moments and
/// averages are flat arenas; the network's tensors are views of them. Every rank holds the same player.
///
/// A player may be sharded (ZeRO stage 1: Rajbhandari et al., arXiv 1910.02054, section 5.1): then each of N ranks
/// holds the moments and the weights' average of an N-th of each bucket of the gradients (distributed/arena_shards.h),
/// and updates that part of the weights. With an average, 8 + 12 / N bytes a parameter in float32 instead of 20.
/// Gradients are reduce-scattered where they were all-reduced, and weights all-gathered after the update: as many bytes;
/// one all-reduce of 8 bytes gives the gradient's norm. On one rank there is nothing to share.
class Player {
 public:
  /// Takes over the network's parameters and buffers (converted to `dtype`, on `device`). Collectives on
  /// `gradients`. With `scale_loss` the loss is scaled dynamically, for float16 maps (models/update_guard.h).
  Player(std::string name, std::shared_ptr<torch::nn::Module> network, const OptimizerOptions& options,
         at::ScalarType dtype, at::Device device, Communicator& gradients, std::int64_t bucket_bytes,
         bool scale_loss = false, bool shard = false);

  const std::string& name() const { return name_; }

  /// Gradients to zero, and every parameter's gradient is its part of the arena.
  void zero_gradients();
  GradientReducer& reducer() { return *reducer_; }
  const GradientReducer& reducer() const { return *reducer_; }
  /// Adds the gradients of `loss`, a scalar, times the loss scale; of one that is not finite, something not finite.
  void backward(const at::Tensor& loss);
  /// The same of this player's own weights, whatever else the loss depends on, whose graph stays: for a loss of several
  /// players, each of whom has another of the same networks' outputs.
  void backward_alone(const at::Tensor& loss);
  /// After the last backward, for which the reducer was armed: the gradients become the sums over ranks,
  /// without the loss scale; those of a sharded player in this rank's part. Collective.
  void finish_gradients();
  /// Clipping, Adam or RMSProp, averages of weights and buffers. Nothing of these where a loss or gradient is not
  /// finite, on all ranks alike. Averages stay where they do not `follow`: after updates of a regulariser's own,
  /// which are not counted in their decay. Collective if sharded.
  void update(bool follow = true);
  /// After an update, every weight into [-bound, bound]. Averages stay.
  void clamp_weights(double bound);

  const UpdateGuard& guard() const { return guard_; }
  void forgive() { guard_.forgive(); }
  /// Around every update that computes with this player's network: the buffers as they are now, and back to them
  /// where `updated`, the player that learned, skipped its update.
  void keep_buffers();
  void restore_buffers(const Player& updated);
  /// `state`, which an update has changed, becomes `before` again where the update was skipped; the host does
  /// not wait. For what others remember from update to update.
  void undo_if_skipped(const at::Tensor& state, const at::Tensor& before) const;

  /// Root's weights, averages, moments and buffers on every rank; of what is sharded each rank keeps its own.
  /// Collective.
  void broadcast(Communicator& communicator, int root);
  /// Takes over whatever tensors of `before` have a name and shape here, but for the moments, and the last gradient's
  /// norm. Collective if sharded.
  void take_over(const Player& before);
  /// The optimiser begins anew: no moments, and updates are counted from 0.
  void reset_optimizer();
  /// The average starts as a copy: call once after initialisation or --init-from, with the same weights on all ranks.
  void reset_average();

  /// All tensors that a checkpoint holds, named "<player>/<kind>/<tensor>"; kinds: weight, buffer, adam_m,
  /// adam_v, guard, and, with an average, ema, ema_buffer. Views: copying into them restores the player. Of a sharded
  /// player adam_m, adam_v and ema are on the meta device, for their names, shapes and types: no rank holds these
  /// tensors whole.
  NamedTensors state() const;
  using Visitor = std::function<void(const NamedTensors& kind)>;
  /// Shows the state kind after kind, in state()'s order, with all values. What is sharded is gathered, one kind at a
  /// time (4 bytes a parameter in float32), into memory that is not the player's. Collective if sharded.
  void visit_state(const Visitor& see) const;
  /// The same, and what `fill` writes into the tensors on rank `root`, where alone it is called, becomes the state of
  /// all ranks. Collective.
  void fill_state(Communicator& communicator, int root, const Visitor& fill);
  /// The same on each rank for itself, without a collective: each element's new value depends on that element, its
  /// name and what is the same on all ranks alone. Of sharded kinds elements of other ranks are zeros here.
  void change_state(const Visitor& change);
  /// Updates so far, those that were skipped among them.
  std::int64_t updates() const { return updates_; }
  void set_updates(std::int64_t updates) { updates_ = updates; }

  bool has_average() const { return ema_.defined(); }
  /// Whether ranks share moments and average.
  bool is_sharded() const { return shards_ != nullptr; }
  /// Views. The average of a sharded player is gathered into new memory: collective.
  NamedTensors weights(bool average) const;
  NamedTensors buffers(bool average) const;
  /// After finish_gradients(); those of a sharded player have no meaning but in this rank's part.
  NamedTensors gradients() const { return weight_layout_.views(gradient_); }
  std::int64_t parameter_count() const { return parameter_count_; }
  /// Bytes of all arenas that this rank holds.
  std::int64_t memory_bytes() const;
  /// What the last update sent: gradients, and the weights of a sharded player. Waits for the GPU.
  GradientReducer::Traffic traffic() const;
  const at::Tensor& gradient_arena() const { return gradient_; }
  double learning_rate() const;
  /// Norm of the last update's gradient, before clipping: a scalar on the device. Skipped updates leave that
  /// of the update before, but for a hopeless one: it is not finite.
  const at::Tensor& last_gradient_norm() const { return gradient_norm_; }
  /// The same on the host: waits for the device.
  double gradient_norm() const { return gradient_norm_.defined() ? gradient_norm_.item<double>() : 0; }

 private:
  /// One kind of the state.
  struct Kind {
    std::string_view name;
    const ArenaLayout* layout;
    at::Tensor arena;  ///< this rank's part of it where it is sharded
    bool is_sharded = false;
  };
  /// What this rank updates, bucket by bucket if sharded, else all at once. Views.
  struct Slice {
    at::Tensor weight, gradient, m, v, ema;
  };
  std::vector<Kind> kinds() const;
  NamedTensors tensors_of(const Kind& kind, const at::Tensor& arena) const;
  /// The kind's arena with all values. Collective if it is sharded.
  at::Tensor whole(const Kind& kind) const;
  void change_kind(const Kind& kind, const Visitor& change);
  /// The guard's figures by name.
  NamedTensors guard_state() const;
  /// Of all ranks' sums: a scalar on the device, the same on all. Collective if sharded.
  at::Tensor gradient_norm_of_all() const;

  /// A loss that is not finite may have gradients that are (a hinge has): before its backward it leaves its mark in the
  /// arena.
  void mark_if_not_finite(const at::Tensor& loss);
  /// Times the loss scale, if there is one.
  at::Tensor scaled(const at::Tensor& loss) const;
  /// The next update is the first: those that were skipped are no part of Adam's t.
  void count_from_zero();
  /// The gradient's norm, and what the guard makes of it. Returns what to clip by.
  at::Tensor judge_gradients(bool follow);

  std::string name_;
  std::shared_ptr<torch::nn::Module> network_;
  OptimizerOptions options_;
  Schedule schedule_;
  ArenaLayout weight_layout_, buffer_layout_;
  std::vector<at::Tensor> parameters_;
  at::Tensor weight_, gradient_, m_, v_, ema_, buffer_, ema_buffer_, kept_buffer_;
  UpdateGuard guard_;
  Communicator& communicator_;
  std::unique_ptr<GradientReducer> reducer_;
  std::unique_ptr<ArenaShards> shards_;  // null where every rank holds all
  std::vector<Slice> slices_;
  std::int64_t updates_ = 0;
  std::int64_t parameter_count_ = 0;
  at::Tensor gradient_norm_;  // a scalar, on the device
};

/// A network's parameters and buffers by module name, in registration order.
NamedTensors parameters_of(const torch::nn::Module& network);
NamedTensors buffers_of(const torch::nn::Module& network);
/// Copies `from` into the tensors of `to` with the same names. Throws std::logic_error when the names differ.
void copy_tensors(const NamedTensors& from, const NamedTensors& to);
/// The same of those that have a name and shape in both.
void copy_common(const NamedTensors& from, const NamedTensors& to);

}  // namespace ganymede
