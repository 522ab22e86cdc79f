// What every communicator must do, at any rank count: the sums are of small whole numbers, so that the exact
// answer is known.

#include "distributed/communicator.h"

#include <gtest/gtest.h>

#include <thread>

#include "core/philox.h"
#include "tests/distributed/world.h"

namespace ganymede {
namespace {

using test::on_device;
using test::world;

constexpr at::ScalarType types[] = {at::kFloat, at::kDouble, at::kLong, at::kByte};
// Odd, empty, around a piece of mpi_main.cpp, and several pieces.
constexpr std::int64_t sizes[] = {0, 1, 2, 3, 7, 64, 1001, 4999, 5000, 5001, 17321};

/// Element i of `rank`'s tensor is (rank + 1) (i mod 11): sums of four ranks fit in uint8.
at::Tensor ramp(std::int64_t count, int rank, at::ScalarType type) {
  return (at::arange(count, on_device(at::kLong)).remainder(11) * (rank + 1)).to(type);
}

std::int64_t sum_of_ranks() {
  const std::int64_t size = world().size();
  return size * (size + 1) / 2;
}

template <class Check>
void for_all_types_and_sizes(Check check) {
  for (const at::ScalarType type : types)
    for (const std::int64_t size : sizes) {
      SCOPED_TRACE(fmt::format("{} x {}", size, c10::toString(type)));
      check(size, type);
    }
}

TEST(Communicator, KnowsItsPlace) {
  EXPECT_GE(world().rank(), 0);
  EXPECT_LT(world().rank(), world().size());
  EXPECT_LT(world().local_rank(), world().local_size());
  EXPECT_LE(world().local_size(), world().size());
  EXPECT_EQ(world().agree(world().rank()), world().size() - 1);
  EXPECT_EQ(world().name(), "world");
  EXPECT_EQ(world().duplicate("gradients")->name(), "gradients");
}

TEST(Communicator, AllReduceSums) {
  for_all_types_and_sizes([](std::int64_t size, at::ScalarType type) {
    at::Tensor tensor = ramp(size, world().rank(), type);
    world().all_reduce(tensor)->wait();
    EXPECT_TRUE(at::equal(tensor, ramp(size, 0, type) * sum_of_ranks()));
  });
}

TEST(Communicator, AllReduceTakesTheMaximum) {
  for_all_types_and_sizes([](std::int64_t size, at::ScalarType type) {
    at::Tensor tensor = ramp(size, world().rank(), type);
    world().all_reduce(tensor, Reduction::max)->wait();
    EXPECT_TRUE(at::equal(tensor, ramp(size, world().size() - 1, type)));
  });
}

TEST(Communicator, ReduceScatterGivesEachRankItsPart) {
  for_all_types_and_sizes([](std::int64_t size, at::ScalarType type) {
    at::Tensor output = at::empty({size}, on_device(type));
    world().reduce_scatter(output, ramp(size * world().size(), world().rank(), type))->wait();
    const at::Tensor sums = ramp(size * world().size(), 0, type) * sum_of_ranks();
    EXPECT_TRUE(at::equal(output, sums.narrow(0, size * world().rank(), size)));
  });
}

TEST(Communicator, AllGatherJoinsInRankOrder) {
  for_all_types_and_sizes([](std::int64_t size, at::ScalarType type) {
    at::Tensor output = at::empty({size * world().size()}, on_device(type));
    world().all_gather(output, ramp(size, world().rank(), type))->wait();
    std::vector<at::Tensor> parts;
    for (int rank = 0; rank < world().size(); ++rank) parts.push_back(ramp(size, rank, type));
    EXPECT_TRUE(at::equal(output, at::cat(parts)));
  });
}

// What a rank does not own keeps its values.
TEST(Communicator, ReduceScatterInPlace) {
  for_all_types_and_sizes([](std::int64_t size, at::ScalarType type) {
    const std::int64_t first = size * world().rank();
    const at::Tensor tensor = ramp(size * world().size(), world().rank(), type);
    at::Tensor expected = tensor.clone();
    expected.narrow(0, first, size)
        .copy_(ramp(size * world().size(), 0, type).narrow(0, first, size) * sum_of_ranks());
    world().reduce_scatter(tensor.narrow(0, first, size), tensor)->wait();
    EXPECT_TRUE(at::equal(tensor, expected));
  });
}

TEST(Communicator, AllGatherInPlace) {
  for_all_types_and_sizes([](std::int64_t size, at::ScalarType type) {
    const at::Tensor expected = ramp(size * world().size(), 0, type);
    const std::int64_t first = size * world().rank();
    const at::Tensor tensor = at::zeros_like(expected);
    tensor.narrow(0, first, size).copy_(expected.narrow(0, first, size));
    world().all_gather(tensor, tensor.narrow(0, first, size))->wait();
    EXPECT_TRUE(at::equal(tensor, expected));
  });
}

TEST(Communicator, BroadcastGivesTheRootsTensor) {
  for_all_types_and_sizes([](std::int64_t size, at::ScalarType type) {
    for (int root = 0; root < world().size(); ++root) {
      at::Tensor tensor = ramp(size, world().rank(), type);
      world().broadcast(tensor, root)->wait();
      EXPECT_TRUE(at::equal(tensor, ramp(size, root, type)));
    }
  });
}

TEST(Communicator, ReducesTensorsInAnyMemoryFormat) {
  at::Tensor tensor = ramp(2 * 3 * 5 * 7, world().rank(), at::kDouble).view({2, 3, 5, 7});
  tensor = tensor.contiguous(at::MemoryFormat::ChannelsLast);
  world().all_reduce(tensor)->wait();
  EXPECT_TRUE(at::equal(tensor, ramp(2 * 3 * 5 * 7, 0, at::kDouble).view({2, 3, 5, 7}) * sum_of_ranks()));
  // A part of a larger tensor: its neighbours keep their values.
  at::Tensor whole = at::ones({10}, on_device(at::kDouble));
  world().all_reduce(whole.narrow(0, 3, 4))->wait();
  EXPECT_EQ(whole.sum().item<double>(), 6 + 4 * world().size());
}

TEST(Communicator, RefusesWhatDoesNotTravel) {
  const int size = world().size();
  const auto ones = [](at::IntArrayRef shape, at::ScalarType type = at::kFloat) {
    return at::ones(shape, on_device(type));
  };
  EXPECT_THROW(world().all_reduce(ones({4, 6}).t().narrow(0, 1, 2)), c10::Error);
  EXPECT_THROW(world().all_reduce(ones({4}, at::kHalf)), c10::Error);
  EXPECT_THROW(world().broadcast(ones({4}), size), c10::Error);
  EXPECT_THROW(world().broadcast(ones({4}, at::kInt), 0), c10::Error);
  EXPECT_THROW(world().all_gather(ones({4 * size + 1}), ones({4})), c10::Error);
  EXPECT_THROW(world().all_gather(ones({4 * size}), ones({4}, at::kDouble)), c10::Error);
  EXPECT_THROW(world().reduce_scatter(ones({4}), ones({4 * size - 1})), c10::Error);
}

// Each rank waits in an order and at a pace of its own.
TEST(Communicator, CollectivesInFlightDoNotMix) {
  constexpr int rounds = 20;
  const auto first = world().duplicate("first"), second = world().duplicate("second");
  Communicator* const groups[] = {&world(), first.get(), second.get()};
  const RandomStream random({.seed = static_cast<std::uint64_t>(world().rank()), .phase = "timing"});
  struct Flight {
    at::Tensor tensor, expected;
    std::unique_ptr<Work> work;
  };
  for (int round = 0; round < rounds; ++round) {
    std::vector<Flight> flights;
    for (int i = 0; i < 12; ++i) {
      const std::int64_t count = 1 + 613 * (i % 4);
      const std::int64_t factor = 100 * round + i;
      Flight flight{ramp(count, world().rank(), at::kDouble) * factor, {}, nullptr};
      Communicator& group = *groups[i % 3];
      if (i % 5 == 4) {
        const int root = i % world().size();
        flight.expected = ramp(count, root, at::kDouble) * factor;
        flight.work = group.broadcast(flight.tensor, root);
      } else {
        flight.expected = ramp(count, 0, at::kDouble) * (factor * sum_of_ranks());
        flight.work = group.all_reduce(flight.tensor);
      }
      flights.push_back(std::move(flight));
      const std::uint64_t pause =
          random.bits(static_cast<std::uint64_t>(round), static_cast<std::uint32_t>(i)) % 60;
      std::this_thread::sleep_for(std::chrono::microseconds(pause));
    }
    std::vector<std::size_t> order(flights.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::sort(order, {}, [&](std::size_t i) {
      return random.bits(1000 + static_cast<std::uint64_t>(round), static_cast<std::uint32_t>(i));
    });
    for (const std::size_t i : order) {
      if (i % 2 == 0)
        while (!flights[i].work->test()) std::this_thread::yield();
      flights[i].work->wait();
      EXPECT_TRUE(at::equal(flights[i].tensor, flights[i].expected)) << "round " << round << ", flight " << i;
    }
  }
}

TEST(Communicator, SumsRepeatBitForBitAndAreTheSameOnAllRanks) {
  const RandomStream random({.seed = 3, .phase = "sums"});
  for (const std::int64_t size : {3, 1000, 12345}) {
    const at::Tensor mine = random.normal(world().rank(), 1, size, at::kFloat).to(test::device());
    at::Tensor once = mine.clone();
    world().all_reduce(once)->wait();
    EXPECT_TRUE(test::equal_on_all_ranks(once));
    for (int repeat = 0; repeat < 5; ++repeat) {
      // Ranks that come late must not change the order of the sum.
      if (repeat % world().size() == world().rank())
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
      at::Tensor again = mine.clone();
      world().all_reduce(again)->wait();
      EXPECT_TRUE(at::equal(once, again));
    }
  }
}

TEST(Communicator, BarrierWaitsForTheLast) {
  using Clock = std::chrono::steady_clock;
  const bool late = world().rank() == world().size() - 1;
  world().barrier();
  const Clock::time_point start = Clock::now();
  if (late) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  world().barrier();
  EXPECT_GE(Clock::now() - start, std::chrono::milliseconds(45));
}

TEST(Communicator, AgreesOnTheLargest) {
  EXPECT_EQ(world().agree(0), 0);
  EXPECT_EQ(world().agree(-7), -7);
  EXPECT_EQ(world().agree(world().rank() == world().size() - 1 ? 1 : 0), 1);
  // Beyond what a double holds.
  const std::int64_t large = (std::int64_t{1} << 53) + 1;
  EXPECT_EQ(world().agree(large - world().rank()), large);
}

std::string text_of(int rank, std::size_t length) {
  std::string text(length, '\0');
  for (std::size_t i = 0; i < length; ++i)
    text[i] = static_cast<char>(i * 7 + static_cast<std::size_t>(rank));
  return text;
}

TEST(Communicator, BroadcastsTexts) {
  for (const std::size_t length : {std::size_t{0}, std::size_t{1}, std::size_t{100'003}})
    for (int root = 0; root < world().size(); ++root) {
      const std::string mine = world().rank() == root ? text_of(root, length) : "not this";
      EXPECT_EQ(world().broadcast_text(mine, root), text_of(root, length));
    }
}

TEST(Communicator, GathersTextsOfAnyLength) {
  const auto length_of = [](int rank) { return static_cast<std::size_t>(rank % 2 == 0 ? 0 : 70'001 + rank); };
  const auto check = [](const std::vector<std::string>& texts, const auto& length) {
    ASSERT_EQ(texts.size(), static_cast<std::size_t>(world().size()));
    for (int rank = 0; rank < world().size(); ++rank)
      EXPECT_EQ(texts[static_cast<std::size_t>(rank)], text_of(rank, length(rank)));
  };
  const int rank = world().rank();
  check(world().gather_texts(text_of(rank, length_of(rank))), length_of);
  check(world().gather_texts(""), [](int) { return std::size_t{0}; });
}

}  // namespace
}  // namespace ganymede
