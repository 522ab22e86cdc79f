#pragma once

#include <functional>
#include <optional>

#include "core/options.h"
#include "datasets/loader.h"
#include "models/image_spec.h"
#include "models/player.h"
#include "models/stage.h"

namespace ganymede {

/// What a method is built with. The communicators serve the method alone: one for gradients, one for batch
/// norm.
struct MethodContext {
  Communicator& gradients;
  Communicator& batch_norm;
  std::int64_t batch = 0;       ///< images of the global batch
  std::int64_t accumulate = 1;  ///< micro-batches that it is cut into
  std::uint64_t seed = 0;
  std::uint64_t reseed = 0;
  std::int64_t position = 0;          ///< real images seen when it is to go on: see Method::move_to
  at::ScalarType dtype = at::kFloat;  ///< of weights, gradients, moments and averages
  /// Of the maps between convolutions; without one, dtype.
  std::optional<at::ScalarType> activations = std::nullopt;
  at::Device device = at::kCPU;  ///< where weights lie and batches come
  std::int64_t bucket_bytes = 0;
  bool shard_optimizer = false;  ///< of all players: see Player
  /// Told what begins ("generator update"), often enough that silence means a hang; may be empty.
  std::function<void(std::string_view activity)> alive = {};

  void note(std::string_view activity) const {
    if (alive) alive(activity);
  }
  std::int64_t micro_batch() const { return batch / accumulate; }
  /// Whether players scale their loss: the gradients of float16 maps would vanish.
  bool scale_loss() const { return activations == at::kHalf; }
};

/// Named figures of a step: this rank's part of each, so that the sum over ranks is the global figure.
/// Scalars (float64) on the method's device, which may still be at work on them: a step waits for no figure.
using StepReport = std::vector<std::pair<std::string, at::Tensor>>;
using Figures = std::vector<std::pair<std::string, double>>;
/// The figures themselves; waits for the device.
Figures figures_of(const StepReport& report);

/// Yields this rank's part of the next micro-batch.
using NextBatch = std::function<Batch()>;

/// What a step sends: so many all-reduces of so many bytes in all, a rank. A reduce-scatter and an all-gather send half
/// of what an all-reduce of their whole does.
struct CollectiveCost {
  std::string what;
  std::int64_t count = 0;
  std::int64_t bytes = 0;
  std::string collectives = "all-reduces";
};
/// Adds what so many updates of `player` send, on as many ranks as it has, and with `own_every` those of a
/// regulariser's own, one after each so many others.
void add_update_costs(std::vector<CollectiveCost>& costs, const Player& player, std::int64_t updates = 1,
                      std::int64_t own_every = 0);

struct SampleOptions {
  bool ema = true;
  double truncation = 0;  ///< z is drawn from a normal truncated to +-truncation; 0 = not truncated
  double psi = 1;         ///< of networks with styles: w is drawn towards its mean, see truncated_styles()
  std::string batch_norm = "running";  ///< running, batch, standing
  std::uint64_t seed = 0;
  /// What images are drawn from where they have conditions beside labels: rows first .. first + count - 1 of a dataset's, which begins again at its end.
  std::function<at::Tensor(std::int64_t first, std::int64_t count)> sources = {}, embeddings = {},
                                                                    tokens = {};
};

/// Draws images. Image i depends on (seed, i, label of i) alone, whoever draws it and in whatever batch.
class Sampler {
 public:
  virtual ~Sampler() = default;
  /// images() takes runs of a multiple of this many, from a multiple of it on: batch norm over the batch ties
  /// them.
  virtual std::int64_t granularity() const { return 1; }
  /// Images first .. first + N - 1 for labels [N], as [N, C, H, W] in [-1, 1], float32.
  virtual at::Tensor images(std::int64_t first, const at::Tensor& labels) = 0;
};

class ProjectionNetworks;  // models/encoders/projection_networks.h

/// How one step of training goes, for a family of networks. The trainer knows methods through this interface
/// only.
class Method {
 public:
  virtual ~Method() = default;
  virtual std::vector<Player*> players() = 0;
  /// What a checkpoint holds beside the players' tensors, named "<method or player>/<kind>/<tensor>": views
  /// that copying into restores, dense, the same on every rank.
  virtual NamedTensors state() const { return {}; }
  /// Global batches of real images that a step takes: the trainer's position moves by batch times this.
  virtual std::int64_t batches_per_step() const = 0;
  /// The collectives of one step on so many ranks, exactly; what comes every few steps only, spread over them.
  virtual std::vector<CollectiveCost> costs_per_step(int ranks) const = 0;
  /// After each step, which has brought the run to `position` real images: here networks grow, and players() may become
  /// others. Collective.
  virtual void move_to(std::int64_t /*position*/) {}
  /// Makes weights and averages for step 0, the same on every rank that calls it. No collective.
  virtual void initialise() = 0;
  /// One round: step = 1, 2, ... Collective.
  virtual StepReport step(std::int64_t step, const NextBatch& next) = 0;
  /// Collective where options.batch_norm is "standing", and where players are sharded. Changes no state of the method.
  virtual std::unique_ptr<Sampler> sampler(const SampleOptions& options) = 0;
  /// Copies of the networks, by which given images are projected into the latent space; null where a method has none
  /// such. Of the options those of the weights count. Collective where players are sharded. Changes no state of the
  /// method.
  virtual std::unique_ptr<ProjectionNetworks> projection(const SampleOptions& options);

  /// Shows tensors of a step by name to whoever set it ("discriminator.fake", ...): for parity tests.
  std::function<void(std::string_view name, const at::Tensor& tensor)> observe;

 protected:
  void show(std::string_view name, const at::Tensor& tensor) const {
    if (observe) observe(name, tensor);
  }
};

/// A method with its options, before it is built.
class MethodRecipe {
 public:
  virtual ~MethodRecipe() = default;
  virtual void describe(OptionSchema& schema) = 0;
  /// Throws Error(options) where single options are in range but do not fit together.
  virtual void check(std::int64_t micro_batch) const = 0;
  /// Throws Error(options) where the dataset's images must come as they are, not mirrored by data.flip.
  virtual void check_flip() const {}
  /// What a run of so many steps should be told before it starts; may be nothing.
  virtual std::vector<std::string> warnings(std::int64_t /*steps*/) const { return {}; }
  /// Throws Error(options) for what these networks cannot be asked when they draw.
  virtual void check_sampling(const SampleOptions& /*options*/) const {}
  /// How batches change as a run goes on, where train.batch is `batch`; the first begins at 0. By default they do not.
  virtual std::vector<Stage> stages(std::int64_t batch) const { return {{.batch = batch}}; }
  /// What a dataset must look like.
  virtual ImageSpec images() const = 0;
  /// What samples look like: as a rule such as the dataset's images.
  virtual ImageSpec samples() const { return images(); }
  /// Each player's name and number of parameters, from networks built without memory, and those of a network that a
  /// loss of the method may be given.
  virtual std::vector<std::pair<std::string, std::int64_t>> parameter_counts() const = 0;
  virtual std::unique_ptr<Method> build(const MethodContext& context) const = 0;
};

std::vector<std::string> method_names();
/// `settings` choose what the method is made of (gan.network, say). Throws Error(options) that lists the
/// names.
std::unique_ptr<MethodRecipe> make_method_recipe(const std::string& name, const Settings& settings);

}  // namespace ganymede
