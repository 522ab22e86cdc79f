#include "models/player.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/philox.h"
#include "tests/distributed/world.h"

namespace ganymede {
namespace {

using test::world;

class Net final : public torch::nn::Module {
 public:
  Net() {
    vector = register_parameter("vector", draw({5}, "vector"));
    kernel = register_parameter("kernel", draw({4, 3, 3, 3}, "kernel"));
    statistic = register_buffer("statistic", draw({3}, "statistic"));
  }
  static at::Tensor draw(at::IntArrayRef shape, const char* name) {
    const RandomStream random({.seed = 2, .phase = "net", .stream = name});
    return random.normal(0, 1, c10::multiply_integers(shape), at::kDouble).view(shape).to(at::kFloat);
  }
  at::Tensor vector, kernel, statistic;
};

struct Fixture {
  explicit Fixture(const OptimizerOptions& options, bool scale_loss = false)
      : net(std::make_shared<Net>()),
        player("net", net, options, at::kDouble, at::kCPU, world(), 1 << 20, scale_loss) {}

  /// One update with the gradient `scale` everywhere but in the padding, the same on all ranks.
  void update(double scale) { update_by(scale / world().size()); }
  /// The same, with this rank's part of the gradient.
  void update_by(double part) {
    player.keep_buffers();
    player.zero_gradients();
    player.reducer().arm();
    net->statistic.add_(std::isfinite(part) ? 0.5 : NAN);
    player.backward((net->vector.sum() + net->kernel.sum()) * part);
    player.finish_gradients();
    player.update();
    player.restore_buffers(player);
  }
  std::vector<at::Tensor> copies() const {
    std::vector<at::Tensor> all;
    for (const auto& [name, tensor] : player.state()) all.push_back(tensor.detach().clone());
    return all;
  }
  at::Tensor tensor(const std::string& name) const {
    for (const auto& [key, value] : player.state())
      if (key == name) return value;
    ADD_FAILURE() << "no tensor " << name;
    return {};
  }

  std::shared_ptr<Net> net;
  Player player;
};

constexpr std::int64_t parameter_count = 5 + 4 * 27;

TEST(Player, TakesTheNetworksTensorsIntoArenas) {
  const Fixture setup({.ema = 0.9});
  EXPECT_EQ(setup.player.parameter_count(), parameter_count);
  EXPECT_TRUE(at::equal(setup.net->kernel, Net::draw({4, 3, 3, 3}, "kernel").to(at::kDouble)));
  EXPECT_TRUE(setup.net->kernel.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(at::equal(setup.net->statistic, Net::draw({3}, "statistic").to(at::kDouble)));
  EXPECT_EQ(setup.tensor("net/weight/kernel").data_ptr(), setup.net->kernel.data_ptr());
  EXPECT_EQ(setup.tensor("net/buffer/statistic").data_ptr(), setup.net->statistic.data_ptr());
}

TEST(Player, StateNamesEveryTensorOnce) {
  const auto names = [](const Player& player) {
    std::vector<std::string> all;
    for (const auto& [name, tensor] : player.state()) all.push_back(name);
    return all;
  };
  const std::vector<std::string> without_average = {
      "net/weight/vector", "net/weight/kernel", "net/buffer/statistic", "net/adam_m/vector",
      "net/adam_m/kernel", "net/adam_v/vector", "net/adam_v/kernel"};
  const std::vector<std::string> average = {"net/ema/vector", "net/ema/kernel", "net/ema_buffer/statistic"};
  const std::vector<std::string> guard = {"net/guard/skipped", "net/guard/debt"};
  const auto joined = [](std::vector<std::string> first, const std::vector<std::string>& second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
  };
  EXPECT_EQ(names(Fixture({}).player), joined(without_average, guard));
  EXPECT_EQ(names(Fixture({.ema = 0.9}).player), joined(joined(without_average, average), guard));
  EXPECT_EQ(names(Fixture({}, /*scale_loss=*/true).player),
            joined(joined(without_average, guard), {"net/guard/scale", "net/guard/good_updates"}));
}

TEST(Player, CopyingTheStateContinuesTheRun) {
  const OptimizerOptions options{.lr = 0.1, .beta1 = 0.9, .warmup = 5, .ema = 0.9, .ema_start = 1};
  Fixture one(options, true), other(options, true);
  for (const double scale : {1.0, double{INFINITY}, -3.0}) one.update(scale);
  copy_tensors(one.player.state(), other.player.state());
  other.player.set_updates(one.player.updates());
  one.update(0.5);
  other.update(0.5);
  const NamedTensors state = one.player.state();
  for (std::size_t i = 0; i < state.size(); ++i)
    EXPECT_TRUE(at::equal(state[i].second, other.player.state()[i].second)) << state[i].first;
}

TEST(Player, ClipsTheGlobalNorm) {
  const double clip = 0.5, norm = 3 * std::sqrt(static_cast<double>(parameter_count));
  Fixture setup({.beta1 = 0.5, .clip = clip});
  setup.update(3);
  EXPECT_NEAR(setup.player.gradient_norm(), norm, 1e-12);
  // m = (1 - beta1) g, scaled to the norm allowed.
  EXPECT_NEAR(setup.tensor("net/adam_m/vector")[0].item<double>(), 0.5 * 3 * clip / norm, 1e-15);
  EXPECT_NEAR(setup.tensor("net/adam_m/kernel")[0][0][0][0].item<double>(), 0.5 * 3 * clip / norm, 1e-15);

  Fixture below({.beta1 = 0.5, .clip = 2 * norm});
  below.update(3);
  EXPECT_EQ(below.tensor("net/adam_m/vector")[0].item<double>(), 1.5);
}

// v = 0.1 g^2, then 0.9 v + 0.1 g^2; no bias is corrected.
TEST(Player, RmspropDividesByTheRootOfTheMeanSquare) {
  Fixture setup({.optimizer = "rmsprop", .lr = 0.5, .beta2 = 0.9, .eps = 1e-3});
  const at::Tensor before = setup.tensor("net/weight/kernel").clone();
  setup.update(2);
  setup.update(3);
  const double v1 = 0.1 * 4, v2 = 0.9 * v1 + 0.1 * 9;
  const double moved = 0.5 * (2 / (std::sqrt(v1) + 1e-3) + 3 / (std::sqrt(v2) + 1e-3));
  EXPECT_LT((before - setup.tensor("net/weight/kernel") - moved).abs().max().item<double>(), 1e-12);
  EXPECT_THROW((OptimizerOptions{.optimizer = "rmsprop", .beta1 = 0.5}.check("net")), Error);
}

TEST(Player, ClampsItsWeights) {
  Fixture setup({});
  const at::Tensor before = setup.tensor("net/weight/kernel").clone();
  setup.player.clamp_weights(0.25);
  EXPECT_TRUE(at::equal(setup.net->kernel, before.clamp(-0.25, 0.25)));
  EXPECT_FALSE(at::equal(setup.net->kernel, before));
}

TEST(Player, LearnsAtTheSchedulesRate) {
  Fixture setup({.lr = 0.1, .beta1 = 0, .beta2 = 0, .eps = 1e-20, .warmup = 4});
  // With both decays 0 a step is lr times the gradient's sign.
  for (const double rate : {0.025, 0.05, 0.075, 0.1, 0.1}) {
    const at::Tensor before = setup.net->vector.detach().clone();
    setup.update(2);
    EXPECT_DOUBLE_EQ(setup.player.learning_rate(), rate);
    EXPECT_LT((before - setup.net->vector - rate).abs().max().item<double>(), 1e-15);
  }
  EXPECT_EQ(setup.player.updates(), 5);
}

const OptimizerOptions scaled{.lr = 0.1, .beta1 = 0.9, .clip = 5, .ema = 0.9};

TEST(Player, ALossScaleLeavesTheUpdateAsItIs) {
  Fixture plain(scaled), setup(scaled, true);
  for (const double scale : {1.0, -2.0, 0.5}) {
    plain.update(scale);
    setup.update(scale);
    EXPECT_EQ(setup.player.gradient_norm(), plain.player.gradient_norm());
  }
  const auto expected = plain.copies(), found = setup.copies();
  EXPECT_EQ(found.size(), expected.size() + 2);
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(at::equal(found[i], expected[i])) << i;
}

// The update is skipped as if it had never been: Adam's t, moments, averages and buffers know nothing of it.
void expect_to_skip_on_all(bool scale_loss, double overflow) {
  Fixture plain(scaled), setup(scaled, scale_loss);
  const auto expect_same = [&] {
    const NamedTensors expected = plain.player.state(), found = setup.player.state();
    for (std::size_t i = 0; i < expected.size(); ++i)
      if (expected[i].first.find("/guard/") == std::string::npos) {
        EXPECT_TRUE(at::equal(found[i].second, expected[i].second)) << expected[i].first;
      }
  };
  setup.update_by(overflow);
  expect_same();
  EXPECT_EQ(setup.player.gradient_norm(), 0);
  plain.update(1);
  setup.update(1);
  expect_same();
  const double norm = setup.player.gradient_norm();
  setup.update_by(overflow);
  expect_same();
  EXPECT_EQ(setup.player.gradient_norm(), norm);
  EXPECT_EQ(setup.player.updates(), 3);
  EXPECT_EQ(setup.tensor("net/guard/skipped").item<double>(), 2);
  if (scale_loss) {
    EXPECT_EQ(setup.tensor("net/guard/scale").item<double>(), UpdateGuard::first / 4);
  }
  for (const at::Tensor& tensor : setup.copies()) EXPECT_TRUE(test::equal_on_all_ranks(tensor));
}

TEST(Player, AGradientOfOneRankThatIsNotFiniteSkipsTheUpdateOnAll) {
  for (const bool scale_loss : {false, true})
    for (const double bad : {double{INFINITY}, double{NAN}})
      expect_to_skip_on_all(scale_loss, world().rank() == world().size() - 1 ? bad : 1);
}

// As a hinge's loss of a logit that is not a number.
TEST(Player, ALossThatIsNotFiniteSkipsTheUpdateThoughItsGradientIs) {
  Fixture setup(scaled);
  const at::Tensor before = setup.net->kernel.detach().clone();
  for (const bool is_bad : {true, false}) {
    setup.player.zero_gradients();
    setup.player.reducer().arm();
    const bool is_bad_here = is_bad && world().rank() == 0;
    setup.player.backward(setup.net->vector.sum() + setup.net->kernel.sum() + (is_bad_here ? NAN : 0.0));
    setup.player.finish_gradients();
    setup.player.update();
    EXPECT_EQ(at::equal(setup.net->kernel, before), is_bad);
  }
  EXPECT_EQ(setup.tensor("net/guard/skipped").item<double>(), 1);
}

TEST(Player, AGradientThatIsNotFiniteSkipsTheUpdateThoughItsLossIs) {
  Fixture setup(scaled);
  const at::Tensor before = setup.net->kernel.detach().clone();
  setup.player.zero_gradients();
  setup.player.reducer().arm();
  at::Tensor loss = setup.net->vector.sum() + setup.net->kernel.sum();
  const at::Tensor zero = setup.net->kernel[3][2][1] - setup.net->kernel[3][2][1].detach();
  if (world().rank() == world().size() - 1) loss = loss + zero.sqrt().sum();
  EXPECT_TRUE(loss.isfinite().item<bool>());
  setup.player.backward(loss);
  setup.player.finish_gradients();
  setup.player.update();
  EXPECT_TRUE(at::equal(setup.net->kernel, before));
  EXPECT_EQ(setup.tensor("net/guard/skipped").item<double>(), 1);
}

TEST(Player, AHopelessUpdateShows) {
  for (const bool scale_loss : {false, true}) {
    Fixture setup(scaled, scale_loss);
    if (scale_loss) at::Tensor(setup.tensor("net/guard/scale")).fill_(UpdateGuard::least);
    const at::Tensor before = setup.net->kernel.detach().clone();
    for (std::int64_t i = 0; i <= UpdateGuard::patience; ++i) {
      EXPECT_TRUE(std::isfinite(setup.player.gradient_norm())) << i;
      setup.update_by(INFINITY);
    }
    EXPECT_FALSE(std::isfinite(setup.player.gradient_norm()));
    EXPECT_TRUE(at::equal(setup.net->kernel, before));
  }
}

TEST(Player, TheAverageStartsAsACopy) {
  Fixture setup({.lr = 0.1, .ema = 0.9, .ema_start = 2});
  for (int update = 1; update <= 2; ++update) {
    setup.update(1);
    EXPECT_TRUE(at::equal(setup.tensor("net/ema/kernel"), setup.net->kernel));
    EXPECT_TRUE(at::equal(setup.tensor("net/ema_buffer/statistic"), setup.net->statistic));
  }
  const at::Tensor kernel = setup.net->kernel.detach().clone(), statistic = setup.net->statistic.clone();
  setup.net->statistic.add_(0.5);
  setup.update(1);
  EXPECT_LT(
      (setup.tensor("net/ema/kernel") - (0.9 * kernel + 0.1 * setup.net->kernel)).abs().max().item<double>(),
      1e-15);
  EXPECT_LT((setup.tensor("net/ema_buffer/statistic") - (statistic + 0.1)).abs().max().item<double>(), 1e-15);
  setup.player.reset_average();
  EXPECT_TRUE(at::equal(setup.tensor("net/ema/kernel"), setup.net->kernel));
  EXPECT_TRUE(at::equal(setup.tensor("net/ema_buffer/statistic"), setup.net->statistic));
}

TEST(Player, TheAveragesHalfLifeGrowsWithTheUpdatesBefore) {
  Fixture setup({.lr = 0.1, .ema = 0.9, .ema_ramp = 0.5});
  setup.update(1);
  EXPECT_TRUE(at::equal(setup.tensor("net/ema/kernel"), setup.net->kernel));
  setup.update(1);
  const at::Tensor average = setup.tensor("net/ema/kernel").detach().clone();
  setup.update(1);  // after two: a half-life of one update
  EXPECT_LT((setup.tensor("net/ema/kernel") - (average + setup.net->kernel) / 2).abs().max().item<double>(),
            1e-15);
}

TEST(OptimizerOptions, OfAnAverageRampUpToItsOwnDecay) {
  const OptimizerOptions options{.ema = 0.9, .ema_ramp = 0.05};
  EXPECT_EQ(options.average_decay(1), 0);
  EXPECT_NEAR(options.average_decay(101), std::pow(0.5, 1.0 / 5), 1e-15);
  EXPECT_EQ(options.average_decay(1000), 0.9);  // a half-life of 6.6 updates
  EXPECT_EQ((OptimizerOptions{.ema = 0.9}.average_decay(1)), 0.9);
  // Of these 1 + 1, 1, 1, 1, 1 + 1, ... updates the averages do not follow the second, the seventh, ...
  const OptimizerOptions lazy = options.with_extra_updates(4);
  for (const auto& [update, own] : {std::pair{1, 0}, {3, 1}, {6, 4}, {8, 5}, {101, 80}})
    EXPECT_EQ(lazy.average_decay(update), options.average_decay(own + 1)) << update;
}

TEST(Player, BroadcastsEverythingThatTheStateHolds) {
  Fixture setup({.ema = 0.9});
  const int root = world().size() - 1;
  for (const auto& [name, tensor] : setup.player.state())
    at::Tensor(tensor.detach()).fill_(world().rank() + 1);
  setup.player.broadcast(world(), root);
  for (const auto& [name, tensor] : setup.player.state())
    EXPECT_TRUE(at::equal(tensor, at::full_like(tensor, root + 1))) << name;
}

TEST(CopyTensors, RefusesOtherNames) {
  const NamedTensors a = {{"a", at::ones({1})}}, b = {{"b", at::zeros({1})}};
  EXPECT_THROW(copy_tensors(a, b), std::logic_error);
  EXPECT_THROW(copy_tensors(a, {}), std::logic_error);
}

}  // namespace
}  // namespace ganymede
