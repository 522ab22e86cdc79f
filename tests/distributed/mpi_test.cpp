#include "distributed/mpi.h"

#include <gtest/gtest.h>

#include "core/philox.h"
#include "tests/distributed/mpi_session.h"
#include "tests/distributed/world.h"

namespace ganymede {
namespace {

using test::world;

class Waits final : public WaitObserver {
 public:
  void enter(std::string_view collective, std::int64_t bytes) override {
    names.emplace_back(collective);
    sizes.push_back(bytes);
  }
  void leave() override { ++left; }
  std::vector<std::string> names;
  std::vector<std::int64_t> sizes;
  std::size_t left = 0;
};

TEST(MpiSession, TellsTheObserverOfEveryWait) {
  const auto group = world().duplicate("gradients");
  Waits waits;
  test::mpi_session().observe(&waits);
  at::Tensor tensor = at::ones({3});
  group->all_reduce(tensor)->wait();
  group->broadcast(tensor, 0)->wait();
  world().barrier();
  test::mpi_session().observe(nullptr);
  world().barrier();
  EXPECT_EQ(waits.names,
            (std::vector<std::string>{"all_reduce gradients", "broadcast gradients", "barrier world"}));
  EXPECT_EQ(waits.sizes, (std::vector<std::int64_t>{12, 12, 0}));
  EXPECT_EQ(waits.left, waits.names.size());
}

TEST(MpiSession, BothFormsOfAllReduceSumTheSame) {
  const int usual = test::mpi_session().most_exchanging();
  for (const std::int64_t size : {1, 5, 2048, 2049, 4097, 60'000}) {
    const at::Tensor mine = at::arange(size, at::kLong).remainder(1000) * (world().rank() + 1);
    for (const Reduction reduction : {Reduction::sum, Reduction::max}) {
      at::Tensor exchanged = mine.clone(), librarys = mine.clone();
      world().all_reduce(exchanged, reduction)->wait();
      test::mpi_session().set_most_exchanging(0);
      world().all_reduce(librarys, reduction)->wait();
      test::mpi_session().set_most_exchanging(usual);
      EXPECT_TRUE(at::equal(exchanged, librarys)) << size;
    }
  }
}

TEST(MpiSession, BothFormsOfReduceScatterSumTheSame) {
  const int usual = test::mpi_session().most_exchanging();
  for (const std::int64_t size : {1, 5, 2048, 60'000})
    for (const bool in_place : {false, true}) {
      const at::Tensor mine = at::arange(size * world().size(), at::kLong).remainder(1000) * (world().rank() + 1);
      const auto own_sum = [&] {
        const at::Tensor input = mine.clone();
        at::Tensor output = in_place ? input.narrow(0, size * world().rank(), size) : at::empty({size}, at::kLong);
        world().reduce_scatter(output, input)->wait();
        return output.clone();
      };
      const at::Tensor exchanged = own_sum();
      test::mpi_session().set_most_exchanging(0);
      const at::Tensor librarys = own_sum();
      test::mpi_session().set_most_exchanging(usual);
      EXPECT_TRUE(at::equal(exchanged, librarys)) << size;
    }
}

// A sharded run then trains what one that is not does.
TEST(MpiSession, ReduceScatterAddsUpAsAllReduceDoes) {
  const RandomStream random({.seed = 4, .phase = "sums"});
  for (const std::int64_t size : {1, 100, 30'001}) {
    at::Tensor mine = random.normal(world().rank(), 1, size * world().size(), at::kFloat)[0].clone();
    at::Tensor output = at::empty({size});
    world().reduce_scatter(output, mine)->wait();
    world().all_reduce(mine)->wait();
    EXPECT_TRUE(at::equal(output, mine.narrow(0, size * world().rank(), size))) << size;
  }
}

// Whoever adds up, and wherever in a tensor the numbers lie.
TEST(MpiSession, SumsInRankOrder) {
  const double numbers[] = {1e17, 1, -1e17, 1};
  double expected = numbers[0];
  for (int rank = 1; rank < world().size(); ++rank) expected += numbers[rank % 4];
  for (const std::int64_t size : {1, 7, 30'001}) {
    at::Tensor tensor = at::full({size}, numbers[world().rank() % 4], at::kDouble);
    world().all_reduce(tensor)->wait();
    EXPECT_TRUE(at::equal(tensor, at::full({size}, expected, at::kDouble))) << size;
  }
}

// An exception may leave a collective behind; memory that MPI still writes to must not be used again.
TEST(MpiSession, AnAbandonedCollectiveKeepsItsMemory) {
  const auto group = world().duplicate("abandoned");
  constexpr std::int64_t count = 100'000;
  {
    at::Tensor tensor = at::ones({count}, at::kDouble);
    const auto work = group->all_reduce(tensor);
  }
  const at::Tensor other = at::full({count}, 7, at::kDouble);
  world().barrier();
  at::Tensor next = at::ones({1});
  group->all_reduce(next)->wait();
  EXPECT_EQ(next.item<float>(), static_cast<float>(world().size()));
  EXPECT_TRUE(at::equal(other, at::full({count}, 7, at::kDouble)));
}

}  // namespace
}  // namespace ganymede
