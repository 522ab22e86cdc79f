#include "distributed/gradient_reducer.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/arena.h"
#include "core/philox.h"
#include "tests/distributed/recording_communicator.h"
#include "tests/distributed/world.h"

namespace ganymede {
namespace {

using test::RecordingCommunicator;
using test::world;

/// Six parameters in an arena and their reducer, with buckets of two aligned units or more.
struct Fixture {
  explicit Fixture(std::int64_t bucket_bytes = 128) : records(world()) {
    for (int i = 0; i < 6; ++i) {
      const RandomStream random({.seed = 1, .phase = "parameters", .step = static_cast<std::uint64_t>(i)});
      at::Tensor parameter = random.normal(0, 1, sizes[i], at::kDouble)[0].to(test::device());
      parameters.push_back(parameter.set_requires_grad(true));
      named.emplace_back(fmt::format("p{}", i), parameters.back());
    }
    layout.emplace(named, at::kDouble);
    arena = layout->allocate(test::device());
    reducer = std::make_unique<GradientReducer>(parameters, layout->offsets(), arena, records, bucket_bytes);
    zero();
  }

  void zero() {
    arena.zero_();
    const NamedTensors views = layout->views(arena);
    for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i].mutable_grad() = views[i].second;
  }

  /// A loss whose gradient differs from rank to rank and from pass to pass, on the parameters that are named.
  at::Tensor loss(double pass, const std::vector<std::size_t>& used = {0, 1, 2, 3, 4, 5}) const {
    at::Tensor sum = at::zeros({}, test::on_device(at::kDouble));
    for (const std::size_t i : used)
      sum = sum + (parameters[i] * (pass + world().rank() + static_cast<double>(i))).sin().sum();
    return sum;
  }

  /// What the arena should be: the passes' gradients, taken apart from the arena and summed directly.
  at::Tensor expected(const std::vector<at::Tensor>& losses) const {
    at::Tensor sum = layout->allocate(test::device());
    const NamedTensors views = layout->views(sum);
    for (const at::Tensor& loss : losses) {
      const auto gradients = torch::autograd::grad({loss}, parameters, {}, true, false, true);
      for (std::size_t i = 0; i < parameters.size(); ++i)
        if (gradients[i].defined()) views[i].second.add_(gradients[i]);
    }
    world().all_reduce(sum)->wait();
    return sum;
  }

  /// Offsets of the all-reduces, in the order of their start.
  std::vector<std::int64_t> order() const {
    std::vector<std::int64_t> offsets;
    for (const auto& call : records.calls)
      offsets.push_back(static_cast<const double*>(call.data) - arena.data_ptr<double>());
    return offsets;
  }

  static constexpr std::int64_t sizes[] = {5, 16, 1, 9, 30, 2};
  std::vector<at::Tensor> parameters;
  NamedTensors named;
  std::optional<ArenaLayout> layout;
  at::Tensor arena;
  RecordingCommunicator records;
  std::unique_ptr<GradientReducer> reducer;
};

bool close(const at::Tensor& a, const at::Tensor& b) {
  return at::allclose(a, b, 1e-13, 1e-14);
}

TEST(GradientReducer, BucketsTileTheArenaFromTheEnd) {
  for (const std::int64_t bytes : {1, 64, 128, 300, 1 << 20}) {
    const Fixture setup(bytes);
    std::int64_t end = setup.arena.numel(), parameters = 0;
    for (const auto& bucket : setup.reducer->buckets()) {
      EXPECT_EQ(bucket.offset + bucket.count, end);
      EXPECT_GT(bucket.parameters, 0);
      end = bucket.offset;
      parameters += bucket.parameters;
    }
    EXPECT_EQ(end, 0);
    EXPECT_EQ(parameters, 6);
    // All but the last are as long as asked, and none could have closed earlier.
    for (std::size_t b = 0; b + 1 < setup.reducer->buckets().size(); ++b)
      EXPECT_GE(setup.reducer->buckets()[b].count * 8, bytes);
  }
  EXPECT_EQ(Fixture(1).reducer->buckets().size(), 6u);
  EXPECT_EQ(Fixture(1 << 20).reducer->buckets().size(), 1u);
}

TEST(GradientReducer, SumsWhatADirectAllReduceSums) {
  Fixture setup;
  for (int step = 0; step < 3; ++step) {
    const at::Tensor loss = setup.loss(step);
    const at::Tensor expected = setup.expected({loss});
    setup.zero();
    setup.reducer->arm();
    loss.backward();
    setup.reducer->finalize();
    EXPECT_TRUE(close(setup.arena, expected));
    EXPECT_TRUE(test::equal_on_all_ranks(setup.arena));
  }
}

TEST(GradientReducer, SendsBucketsWhileBackwardGoesOn) {
  Fixture setup;
  const at::Tensor loss = setup.loss(1);
  setup.reducer->arm();
  loss.backward();
  EXPECT_EQ(setup.records.calls.size(), setup.reducer->buckets().size());
  setup.reducer->finalize();
  EXPECT_EQ(setup.records.calls.size(), setup.reducer->buckets().size());
  EXPECT_EQ(setup.records.bytes(), static_cast<std::int64_t>(setup.arena.nbytes()));
}

// What log.jsonl says of a step.
TEST(GradientReducer, CountsItsTraffic) {
  Fixture setup;
  EXPECT_EQ(setup.reducer->traffic().collectives, 0);
  for (int round = 0; round < 2; ++round) {
    const at::Tensor loss = setup.loss(1);
    setup.zero();
    setup.reducer->arm();
    loss.backward();
    setup.reducer->finalize();
    const GradientReducer::Traffic traffic = setup.reducer->traffic();
    EXPECT_EQ(traffic.collectives, static_cast<std::int64_t>(setup.reducer->buckets().size()));
    EXPECT_EQ(traffic.bytes, static_cast<std::int64_t>(setup.arena.nbytes()));
    EXPECT_GE(traffic.exposed, 0);
    EXPECT_GE(traffic.seconds, 0);
    if (world().size() > 1) {
      EXPECT_GT(traffic.seconds, 0);
    }
  }
}

TEST(GradientReducer, AccumulatedPassesReduceOnce) {
  Fixture setup;
  const at::Tensor losses[] = {setup.loss(1), setup.loss(2), setup.loss(3)};
  const at::Tensor expected = setup.expected({losses[0], losses[1], losses[2]});
  losses[0].backward();
  losses[1].backward();
  EXPECT_TRUE(setup.records.calls.empty());
  setup.reducer->arm();
  losses[2].backward();
  setup.reducer->finalize();
  EXPECT_EQ(setup.records.calls.size(), setup.reducer->buckets().size());
  EXPECT_TRUE(close(setup.arena, expected));
}

TEST(GradientReducer, UnusedParametersAreZeros) {
  Fixture setup;
  const std::vector<std::size_t> used = {0, 3, 4};
  const at::Tensor loss = setup.loss(1, used);
  const at::Tensor expected = setup.expected({loss});
  setup.reducer->arm();
  loss.backward();
  setup.reducer->finalize();
  EXPECT_TRUE(close(setup.arena, expected));
  for (const std::size_t i : {1, 2, 5})
    EXPECT_EQ(setup.parameters[i].grad().abs().max().item<double>(), 0) << i;
}

// What one rank does not use, another may.
TEST(GradientReducer, RanksMayUseDifferentParameters) {
  Fixture setup;
  const auto mine = static_cast<std::size_t>(world().rank());
  const at::Tensor loss = setup.loss(1, {mine, 5});
  const at::Tensor expected = setup.expected({loss});
  setup.reducer->arm();
  loss.backward();
  setup.reducer->finalize();
  EXPECT_TRUE(close(setup.arena, expected));
}

TEST(GradientReducer, StartsInOneOrderWhateverComesFirst) {
  Fixture setup;
  // Odd ranks compute the terms in the opposite order, and so their gradients come in the opposite order.
  std::vector<std::size_t> used = {0, 1, 2, 3, 4, 5};
  if (world().rank() % 2 == 1) std::ranges::reverse(used);
  std::string arrivals;
  std::vector<unsigned> hooks;
  for (std::size_t i = 0; i < 6; ++i)
    hooks.push_back(setup.parameters[i].register_hook(
        [&arrivals, i](const at::Tensor&) { arrivals += std::to_string(i); }));
  const at::Tensor loss = setup.loss(1, used);
  setup.reducer->arm();
  loss.backward();
  setup.reducer->finalize();
  for (std::size_t i = 0; i < 6; ++i) setup.parameters[i].remove_hook(hooks[i]);

  std::vector<std::int64_t> in_order;
  for (const auto& bucket : setup.reducer->buckets()) in_order.push_back(bucket.offset);
  EXPECT_EQ(setup.order(), in_order);
  const auto all = world().gather_texts(arrivals);
  for (std::size_t rank = 1; rank < all.size(); ++rank)
    EXPECT_EQ(all[rank] == all[0], rank % 2 == 0) << all[rank];
  setup.reducer->arm();
  setup.reducer->finalize();
}

TEST(GradientReducer, SleepsDuringInnerGradients) {
  Fixture setup;
  const auto penalised = [&] {
    const at::Tensor x = setup.parameters[1].detach().clone().requires_grad_(true);
    const at::Tensor value = (x * setup.parameters[1] * setup.parameters[1]).sum() + setup.loss(1);
    const at::Tensor inner = torch::autograd::grad({value}, {x}, {}, true, true)[0];
    return value + inner.square().sum();
  };
  const at::Tensor expected = setup.expected({penalised()});
  setup.reducer->arm();
  const at::Tensor loss = penalised();
  EXPECT_TRUE(setup.records.calls.empty());
  loss.backward();
  setup.reducer->finalize();
  EXPECT_TRUE(close(setup.arena, expected));
}

TEST(GradientReducer, AGradientThatLeftTheArenaThrows) {
  Fixture setup;
  setup.reducer->arm();
  setup.loss(1).backward({}, std::nullopt, /*create_graph=*/true);
  EXPECT_THROW(setup.reducer->finalize(), std::logic_error);

  setup.zero();
  setup.reducer->arm();
  setup.loss(1, {0, 1}).backward();
  setup.parameters[5].mutable_grad() = at::Tensor();
  EXPECT_THROW(setup.reducer->finalize(), std::logic_error);
  // All ranks have started and left behind the same collectives: the group goes on.
  world().barrier();
}

TEST(GradientReducer, ASecondPassAfterArmThrows) {
  Fixture setup;
  setup.reducer->arm();
  setup.loss(1).backward();
  EXPECT_THROW(setup.loss(2).backward(), std::logic_error);
  setup.reducer->finalize();
}

TEST(GradientReducer, FinalizeWithoutArmThrows) {
  Fixture setup;
  EXPECT_THROW(setup.reducer->finalize(), std::logic_error);
  setup.loss(1).backward();
  EXPECT_TRUE(setup.records.calls.empty());
}

TEST(GradientReducer, TakesItsHooksAway) {
  Fixture setup;
  setup.reducer->arm();
  setup.reducer.reset();
  const at::Tensor loss = setup.loss(1);
  loss.backward();
  EXPECT_TRUE(setup.records.calls.empty());
  EXPECT_GT(setup.arena.abs().max().item<double>(), 0);
}

// A network that is frozen for another player's phase keeps its hooks.
TEST(GradientReducer, WorksAgainAfterItsParametersWereFrozen) {
  Fixture setup;
  for (at::Tensor& parameter : setup.parameters) parameter.requires_grad_(false);
  EXPECT_FALSE(setup.loss(1).requires_grad());
  for (at::Tensor& parameter : setup.parameters) parameter.requires_grad_(true);
  const at::Tensor loss = setup.loss(1);
  const at::Tensor expected = setup.expected({loss});
  setup.reducer->arm();
  loss.backward();
  EXPECT_EQ(setup.records.calls.size(), setup.reducer->buckets().size());
  setup.reducer->finalize();
  EXPECT_TRUE(close(setup.arena, expected));
}

}  // namespace
}  // namespace ganymede
