#include <gtest/gtest.h>

#include "core/error.h"
#include "distributed/nccl_communicator.h"
#include "tests/distributed/mpi_session.h"
#include "tests/distributed/world.h"

namespace ganymede {
namespace {

using test::on_device;
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

TEST(Nccl, TellsTheObserverOfEveryLaunch) {
  const auto group = world().duplicate("gradients");
  Waits waits;
  test::mpi_session().observe(&waits);
  at::Tensor tensor = at::ones({3}, on_device());
  group->all_reduce(tensor)->wait();
  group->broadcast(tensor, 0)->wait();
  test::mpi_session().observe(nullptr);
  EXPECT_EQ(waits.names, (std::vector<std::string>{"all_reduce gradients", "broadcast gradients"}));
  EXPECT_EQ(waits.sizes, (std::vector<std::int64_t>{12, 12}));
  EXPECT_EQ(waits.left, waits.names.size());
}

TEST(Nccl, TakesHostTensorsToo) {
  at::Tensor tensor = at::ones({5}, at::kDouble);
  world().all_reduce(tensor)->wait();
  EXPECT_TRUE(at::equal(tensor, at::full({5}, world().size(), at::kDouble)));
}

// The producer's kernels may not have begun when the collective is launched, nor the collective when its
// reader is.
TEST(Nccl, OrdersItselfAmongTheCurrentStreamsWork) {
  constexpr std::int64_t size = 2048;
  const at::Tensor one = at::eye(size, on_device());
  for (int round = 0; round < 5; ++round) {
    at::Tensor product = one;
    for (int i = 0; i < 20; ++i) product = at::mm(product, one);
    product = product * (world().rank() + 1);
    world().all_reduce(product)->wait();
    const at::Tensor result = product * 2;
    const int ranks = world().size();
    EXPECT_TRUE(at::equal(result, one * (ranks * (ranks + 1))));
  }
}

// Memory of a collective that an exception left behind is not used again before its end.
TEST(Nccl, AnAbandonedCollectiveKeepsItsMemory) {
  constexpr std::int64_t count = 1 << 20;
  for (int round = 0; round < 10; ++round) {
    { world().all_reduce(at::ones({count}, on_device())); }
    const at::Tensor next = at::full({count}, 7, on_device());
    at::Tensor last = at::ones({1}, on_device());
    world().all_reduce(last)->wait();
    EXPECT_EQ(last.item<float>(), static_cast<float>(world().size()));
    EXPECT_TRUE(at::equal(next, at::full({count}, 7, on_device())));
  }
}

TEST(Nccl, MeasuresItsCollectives) {
  at::Tensor tensor = at::ones({1 << 20}, on_device());
  const auto work = world().all_reduce(tensor);
  work->wait();
  EXPECT_GT(work->seconds(), 0);
  EXPECT_LT(work->seconds(), 60);
}

TEST(Nccl, RefusesTensorsOfAnotherDevice) {
  EXPECT_NO_THROW(world().check_health());
  EXPECT_THROW(world().all_gather(at::ones({world().size()}), at::ones({1}, on_device())), c10::Error);
}

}  // namespace
}  // namespace ganymede
