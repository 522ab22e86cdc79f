#include "distributed/arena_shards.h"

#include <gtest/gtest.h>

#include "core/arena.h"
#include "core/philox.h"
#include "tests/distributed/recording_communicator.h"
#include "tests/distributed/world.h"

namespace ganymede {
namespace {

using test::RecordingCommunicator;
using test::world;

/// Parameters of awkward sizes, the reducer that scatters their gradients, and the shards of arenas like theirs.
struct ShardedArenas {
  explicit ShardedArenas(std::int64_t bucket_bytes = 1000) : records(world()) {
    for (std::size_t i = 0; i < std::size(sizes); ++i) {
      parameters.push_back(at::ones({sizes[i]}, test::on_device(at::kDouble)).set_requires_grad(true));
      named.emplace_back(fmt::format("p{}", i), parameters.back());
    }
    layout.emplace(named, at::kDouble, world().size());
    arena = layout->allocate(test::device());
    const NamedTensors views = layout->views(arena);
    for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i].mutable_grad() = views[i].second;
    reducer = std::make_unique<GradientReducer>(parameters, layout->offsets(), arena, records, bucket_bytes,
                                                /*scatters=*/true);
    shards.emplace(reducer->buckets(), records, test::device());
  }
  /// An arena of numbers, the same on all ranks.
  at::Tensor numbers() const { return at::arange(1, arena.numel() + 1, test::on_device(at::kDouble)); }

  static constexpr std::int64_t sizes[] = {5, 200, 1, 9, 90, 2, 33, 1};
  std::vector<at::Tensor> parameters;
  NamedTensors named;
  std::optional<ArenaLayout> layout;
  at::Tensor arena;
  RecordingCommunicator records;
  std::unique_ptr<GradientReducer> reducer;
  std::optional<ArenaShards> shards;
};

TEST(ArenaShards, AreEvenAlignedAndTheWholeArena) {
  for (const std::int64_t bytes : {0, 1, 64, 500, 1 << 20}) {
    const ShardedArenas setup(bytes);
    const auto unit = ArenaLayout::alignment_bytes / 8;
    std::int64_t end = setup.arena.numel();
    EXPECT_EQ(end % (world().size() * unit), 0);
    for (const auto& bucket : setup.reducer->buckets()) {
      EXPECT_GT(bucket.count, 0);
      EXPECT_EQ(bucket.offset + bucket.count, end);
      EXPECT_EQ(bucket.count % (world().size() * unit), 0);
      end = bucket.offset;
    }
    EXPECT_EQ(end, 0);
    EXPECT_EQ(setup.shards->size() * world().size(), setup.arena.numel());
    for (const at::Tensor& share : setup.shards->own(setup.arena))
      EXPECT_EQ((share.storage_offset() * 8) % ArenaLayout::alignment_bytes, 0);
  }
  EXPECT_GT(ShardedArenas(500).reducer->buckets().size(), 1u);
  EXPECT_EQ(ShardedArenas(1 << 20).reducer->buckets().size(), 1u);
}

TEST(ArenaShards, TheReducersSumsComeWhereTheirOwnerIs) {
  for (const std::int64_t bytes : {1, 64, 500, 1 << 20}) {
    ShardedArenas setup(bytes);
    std::vector<at::Tensor> terms;
    at::Tensor expected = setup.layout->allocate(test::device());
    for (std::size_t i = 0; i < setup.parameters.size(); ++i) {
      const at::Tensor factor =
          at::arange(ShardedArenas::sizes[i], test::on_device(at::kDouble)) + static_cast<double>(i);
      terms.push_back((setup.parameters[i] * factor * (world().rank() + 1.)).sum());
      setup.layout->views(expected)[i].second.copy_(factor * (world().size() * (world().size() + 1) / 2.));
    }
    for (int round = 0; round < 2; ++round) {
      setup.arena.zero_();
      setup.reducer->arm();
      at::stack(terms).sum().backward({}, /*retain_graph=*/true);
      // All were sent while backward went on.
      EXPECT_EQ(setup.records.scatters.size(), (1 + round) * setup.reducer->buckets().size());
      setup.reducer->finalize();
      const auto sums = setup.shards->own(setup.arena), wanted = setup.shards->own(expected);
      for (std::size_t b = 0; b < sums.size(); ++b) EXPECT_TRUE(at::equal(sums[b], wanted[b])) << bytes;
    }
    EXPECT_TRUE(setup.records.calls.empty());
    EXPECT_EQ(setup.reducer->traffic().bytes, static_cast<std::int64_t>(setup.arena.nbytes()));
  }
}

TEST(ArenaShards, GatherWhatEachRankHolds) {
  ShardedArenas setup;
  const at::Tensor whole = setup.numbers();
  // Each rank knows its own shares only.
  at::Tensor arena = at::zeros_like(whole);
  const auto own = setup.shards->own(arena), wanted = setup.shards->own(whole);
  for (std::size_t b = 0; b < own.size(); ++b) {
    own[b].copy_(wanted[b]);
    setup.shards->begin_gather(arena, b);
  }
  setup.shards->finish_gather();
  EXPECT_TRUE(at::equal(arena, whole));
  EXPECT_EQ(setup.records.gathers.size(), own.size());
  EXPECT_EQ(setup.shards->traffic().collectives, static_cast<std::int64_t>(own.size()));
  EXPECT_EQ(setup.shards->traffic().bytes, static_cast<std::int64_t>(whole.nbytes()));
}

TEST(ArenaShards, TakeAndGiveBackAnArena) {
  ShardedArenas setup;
  const at::Tensor whole = setup.numbers(), shard = at::zeros({setup.shards->size()}, whole.options());
  setup.shards->take(whole, shard);
  EXPECT_TRUE(at::equal(setup.shards->gathered(shard), whole));
  const at::Tensor alone = setup.shards->alone(shard);
  EXPECT_TRUE(at::equal(alone, at::where(alone != 0, whole, at::zeros_like(whole))));
  EXPECT_EQ((alone != 0).sum().item<std::int64_t>(), shard.numel());
  at::Tensor sum = alone.clone();
  world().all_reduce(sum)->wait();
  EXPECT_TRUE(at::equal(sum, whole));
}

}  // namespace
}  // namespace ganymede
