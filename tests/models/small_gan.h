#pragma once

#include "models/method.h"

namespace ganymede::test {

/// Options of a narrow version of each pair of networks, by its name in the table. Throws where there is none.
const std::map<std::string, std::string>& narrow_options(const std::string& network);

/// A run of adversarial training on synthetic images: by default a narrow BigGAN at 32x32 with attention.
struct SmallGanOptions {
  std::string network = "biggan";
  std::int64_t batch = 8;
  std::int64_t accumulate = 1;
  at::Device device = at::kCPU;
  /// gamma at the start: at 0, as it is initialised, attention is hardly part of a short run
  double attention = 0.5;
  std::map<std::string, std::string> options = {};  ///< on top of the narrow network's
  std::uint64_t reseed = 0;
  at::ScalarType dtype = at::kDouble;
  std::optional<at::ScalarType> activations = std::nullopt;
  std::function<void(std::string_view)> alive = {};
  bool shard_optimizer = false;
  std::string method =
      "adversarial";  ///< another one has its narrow networks beside the generator in `options`
};

/// A copy of every tensor of a player. Collective if it is sharded.
NamedTensors whole_state(const Player& player);

class SmallGan {
 public:
  /// The communicators must outlive it.
  SmallGan(const SmallGanOptions& options, Communicator& gradients, Communicator& batch_norm);

  Method& method() { return *method_; }
  Player& discriminator() { return *method_->players()[1]; }
  /// The image at this global position becomes another one.
  void change_image(std::int64_t position) { changed_ = position; }
  std::int64_t position() const { return position_; }
  /// Real images that the next step begins with.
  const Stage& stage() const { return stages_[stage_at(stages_, position_)]; }
  /// The next steps; collective. Returns the last step's report.
  Figures train(std::int64_t steps);
  /// A copy of every tensor of every player, and of the method's own. Collective if sharded.
  NamedTensors state();
  /// As from a checkpoint of a run with the same options, sharded or not. Collective if the other is.
  void continue_from(SmallGan& other);

 private:
  Batch next();

  std::unique_ptr<MethodRecipe> recipe_;
  std::vector<Stage> stages_;
  std::int64_t accumulate_;
  int rank_, size_;
  at::Device device_;
  at::ScalarType dtype_;
  std::unique_ptr<Method> method_;
  std::int64_t step_ = 0, position_ = 0, taken_ = 0, changed_ = -1;
};

}  // namespace ganymede::test
