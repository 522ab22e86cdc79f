// A player whose ranks share moments and average is the player whose ranks all hold them.

#include <gtest/gtest.h>

#include "core/philox.h"
#include "models/player.h"
#include "tests/distributed/recording_communicator.h"
#include "tests/distributed/world.h"

namespace ganymede {
namespace {

using test::RecordingCommunicator;
using test::world;

at::Tensor draw(at::IntArrayRef shape, const std::string& name, std::uint64_t step = 0) {
  const RandomStream random({.seed = 2, .phase = "net", .step = step, .stream = name});
  return random.normal(0, 1, c10::multiply_integers(shape), at::kDouble).view(shape);
}

class Net final : public torch::nn::Module {
 public:
  explicit Net(std::int64_t width = 7) {
    for (int i = 0; i < 4; ++i) {
      const std::string kernel = fmt::format("kernel{}", i), bias = fmt::format("bias{}", i);
      tensors.push_back(register_parameter(kernel, draw({width, 3, 3, 3}, kernel)));
      tensors.push_back(register_parameter(bias, draw({5 + i}, bias)));
    }
    statistic = register_buffer("statistic", draw({3}, "statistic"));
  }
  std::vector<at::Tensor> tensors;
  at::Tensor statistic;
};

struct Fixture {
  explicit Fixture(bool shard, const OptimizerOptions& options = {}, bool scale_loss = false,
                   at::ScalarType type = at::kDouble, std::int64_t width = 7)
      : records(world()),
        net(std::make_shared<Net>(width)),
        player("net", net, options, type, at::kCPU, records, /*bucket_bytes=*/2000, scale_loss, shard) {}

  /// One update with a gradient of which each rank has another part; `scale` may be infinite on the last rank.
  void update(double scale, bool infinite = false) {
    player.keep_buffers();
    player.zero_gradients();
    player.reducer().arm();
    net->statistic.add_(0.5);
    at::Tensor loss = at::zeros({}, net->statistic.options());
    const auto step = static_cast<std::uint64_t>(10 * player.updates() + world().rank());
    for (std::size_t i = 0; i < net->tensors.size(); ++i) {
      const at::Tensor factor = draw(net->tensors[i].sizes(), fmt::format("gradient{}", i), step);
      loss = loss + (net->tensors[i] * factor.to(loss.scalar_type())).sum() * scale;
    }
    // The slope of a few elements, of a tensor that lies with one rank.
    const at::Tensor few = net->tensors[2].select(0, 0);
    if (infinite && world().rank() == world().size() - 1) loss = loss + (few - few.detach()).sqrt().sum();
    player.backward(loss);
    player.finish_gradients();
    player.update();
    player.restore_buffers(player);
  }
  NamedTensors state() const {
    NamedTensors all;
    player.visit_state([&](const NamedTensors& kind) {
      for (const auto& [name, tensor] : kind) all.emplace_back(name, tensor.detach().clone());
    });
    return all;
  }

  RecordingCommunicator records;
  std::shared_ptr<Net> net;
  Player player;
};

double difference(const NamedTensors& ours, const NamedTensors& expected) {
  EXPECT_EQ(ours.size(), expected.size());
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(ours[i].first, expected[i].first);
    const double absolute = (ours[i].second - expected[i].second).norm().item<double>();
    if (absolute != 0) worst = std::max(worst, absolute / expected[i].second.norm().item<double>());
  }
  return worst;
}

const OptimizerOptions all_options{
    .lr = 0.1, .beta1 = 0.9, .warmup = 3, .clip = 0.7, .ema = 0.9, .ema_start = 1};

TEST(ShardedPlayer, LearnsWhatTheOtherDoes) {
  for (const bool scale_loss : {false, true})
    for (const std::string optimizer : {"adam", "rmsprop"}) {
      OptimizerOptions options = all_options;
      options.optimizer = optimizer;
      if (optimizer == "rmsprop") options.beta1 = 0;
      Fixture sharded(true, options, scale_loss), plain(false, options, scale_loss);
      for (int step = 0; step < 6; ++step) {
        sharded.update(step == 3 ? 1e-3 : 1, step == 2);  // clipped, but for one
        plain.update(step == 3 ? 1e-3 : 1, step == 2);
        EXPECT_NEAR(sharded.player.gradient_norm() / plain.player.gradient_norm(), 1, 1e-14);
      }
      EXPECT_LE(difference(sharded.state(), plain.state()), 1e-13);
      for (const auto& [name, weight] : sharded.player.weights(false))
        EXPECT_TRUE(test::equal_on_all_ranks(weight.detach())) << name;
      EXPECT_EQ(sharded.player.guard().skipped().item<double>(), 1);
    }
}

// Without clipping nothing is summed in another order.
TEST(ShardedPlayer, LearnsTheSameBitsWithoutClipping) {
  OptimizerOptions options = all_options;
  options.clip = 0;
  Fixture sharded(true, options, false, at::kFloat), plain(false, options, false, at::kFloat);
  for (int step = 0; step < 4; ++step) {
    sharded.update(1);
    plain.update(1);
  }
  const NamedTensors ours = sharded.state(), theirs = plain.state();
  for (std::size_t i = 0; i < theirs.size(); ++i)
    EXPECT_TRUE(at::equal(ours[i].second, theirs[i].second)) << theirs[i].first;
}

TEST(ShardedPlayer, HoldsItsPartOfMomentsAndAverage) {
  const Fixture sharded(true, all_options), plain(false, all_options);
  const std::int64_t ranks = world().size();
  const auto whole = static_cast<std::int64_t>(sharded.player.gradient_arena().nbytes());
  std::int64_t buffers = 0;
  for (const bool average : {false, true})
    for (const auto& [name, buffer] : sharded.player.buffers(average))
      buffers += ArenaLayout({{name, buffer}}, at::kDouble).size() * 8;
  EXPECT_EQ(sharded.player.memory_bytes(), 2 * whole + 3 * whole / ranks + buffers);
  const auto padded = static_cast<std::int64_t>(plain.player.gradient_arena().nbytes());
  EXPECT_EQ(plain.player.memory_bytes(), 5 * padded + buffers);
  EXPECT_LT(whole - padded, ranks * ArenaLayout::alignment_bytes);
  EXPECT_EQ(sharded.player.is_sharded(), ranks > 1);
}

TEST(ShardedPlayer, StateTellsOfWhatItHasNot) {
  const Fixture sharded(true, all_options), plain(false, all_options);
  const NamedTensors ours = sharded.player.state(), theirs = plain.player.state();
  ASSERT_EQ(ours.size(), theirs.size());
  for (std::size_t i = 0; i < ours.size(); ++i) {
    const auto& [name, tensor] = ours[i];
    EXPECT_EQ(name, theirs[i].first);
    EXPECT_EQ(tensor.sizes(), theirs[i].second.sizes());
    EXPECT_EQ(tensor.strides(), theirs[i].second.strides());
    EXPECT_EQ(tensor.nbytes(), theirs[i].second.nbytes());
    const bool shared = name.find("/adam_") != name.npos || name.find("/ema/") != name.npos;
    EXPECT_EQ(tensor.is_meta(), shared && world().size() > 1) << name;
  }
}

TEST(ShardedPlayer, AnUpdateSendsAsManyBytesAsAnAllReduce) {
  Fixture sharded(true, all_options), plain(false, all_options);
  sharded.update(1);
  plain.update(1);
  const auto buckets = sharded.player.reducer().buckets().size();
  const auto whole = static_cast<std::int64_t>(sharded.player.gradient_arena().nbytes());
  EXPECT_GT(buckets, 1u);
  if (world().size() == 1) return;
  EXPECT_EQ(sharded.records.scatters.size(), buckets);
  EXPECT_EQ(RecordingCommunicator::bytes(sharded.records.scatters), whole);
  EXPECT_EQ(sharded.records.gathers.size(), buckets);
  EXPECT_EQ(RecordingCommunicator::bytes(sharded.records.gathers), whole);
  EXPECT_EQ(sharded.records.calls.size(), 1u);
  EXPECT_EQ(sharded.records.bytes(), 8);
  EXPECT_EQ(sharded.player.traffic().bytes, 2 * whole);
  EXPECT_EQ(sharded.player.traffic().collectives, static_cast<std::int64_t>(2 * buckets));
  EXPECT_TRUE(plain.records.scatters.empty() && plain.records.gathers.empty());
}

// As from a checkpoint: of a sharded run into one that is not, and the other way round.
TEST(ShardedPlayer, FillsItsStateFromOneRank) {
  for (const bool to_sharded : {true, false}) {
    Fixture from(!to_sharded, all_options, true), to(to_sharded, all_options, true);
    for (int step = 0; step < 3; ++step) from.update(1);
    const NamedTensors state = from.state();
    const int root = world().size() - 1;
    to.player.fill_state(world(), root, [&](const NamedTensors& kind) {
      EXPECT_EQ(world().rank(), root);
      copy_common(state, kind);
    });
    to.player.set_updates(from.player.updates());
    EXPECT_EQ(difference(to.state(), state), 0);
    to.update(1);
    from.update(1);
    EXPECT_LE(difference(to.state(), from.state()), 1e-13);
  }
}

TEST(ShardedPlayer, ChangesItsStateWithoutTheOthers) {
  Fixture sharded(true, all_options), plain(false, all_options);
  for (Fixture* each : {&sharded, &plain}) {
    each->update(1);
    const std::size_t sent = each->records.gathers.size();
    each->player.change_state([](const NamedTensors& kind) {
      for (const auto& [name, tensor] : kind)
        if (name.ends_with("/kernel1"))
          tensor.copy_(at::where(tensor > 0, tensor * 2, at::full_like(tensor, 3)));
    });
    EXPECT_EQ(each->records.gathers.size(), sent);
  }
  EXPECT_LE(difference(sharded.state(), plain.state()), 1e-13);
}

TEST(ShardedPlayer, TakesOverWhatAnotherLearned) {
  const auto grown = [](bool shard) {
    Fixture before(shard, all_options), after(shard, all_options, false, at::kDouble, /*width=*/9);
    before.update(1);
    before.update(1);
    after.player.take_over(before.player);
    return after.state();
  };
  const NamedTensors ours = grown(true), theirs = grown(false);
  EXPECT_LE(difference(ours, theirs), 1e-13);
  double average = 0;
  for (const auto& [name, tensor] : ours)
    if (name == "net/ema/bias2") average = (tensor - draw({7}, "bias2")).norm().item<double>();
  EXPECT_GT(average, 0.01) << "the average is the one that was learned";
}

TEST(ShardedPlayer, BeginsWithTheRootsWeights) {
  Fixture sharded(true, all_options);
  sharded.player.change_state([](const NamedTensors& kind) {
    for (const auto& [name, tensor] : kind)
      if (name.find("/weight/") != name.npos || name.find("/buffer/") != name.npos)
        tensor.fill_(world().rank() + 1);
  });
  sharded.player.broadcast(world(), world().size() - 1);
  sharded.player.reset_average();
  for (const auto& [name, tensor] : sharded.state())
    if (name.find("/adam_") == name.npos && name.find("/guard/") == name.npos) {
      EXPECT_TRUE(at::equal(tensor, at::full_like(tensor, world().size()))) << name;
    }
  sharded.update(1);
  sharded.player.reset_optimizer();
  for (const auto& [name, tensor] : sharded.state())
    if (name.find("/adam_") != name.npos) {
      EXPECT_EQ(tensor.abs().max().item<double>(), 0) << name;
    }
  EXPECT_EQ(sharded.player.updates(), 0);
}

}  // namespace
}  // namespace ganymede
