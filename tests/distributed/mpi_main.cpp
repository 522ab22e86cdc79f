// The main program of tests under mpirun. Every rank runs every test; after each the ranks agree on the
// verdict, so that all go on together, and rank 0 prints what any rank found. A test that leaves some ranks
// inside a collective is ended by CTest's time limit.

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "distributed/mpi.h"
#include "tests/distributed/mpi_session.h"
#include "tests/distributed/world.h"

namespace ganymede::test {
namespace {

// Short enough that the suite's longer tensors travel in several pieces.
constexpr std::int64_t piece = 5000;

MpiSession* the_session = nullptr;
Communicator* the_world = nullptr;

std::string failures_of(const testing::TestInfo& test) {
  std::string text;
  for (int i = 0; i < test.result()->total_part_count(); ++i) {
    const testing::TestPartResult& part = test.result()->GetTestPartResult(i);
    if (part.failed())
      text += fmt::format("{}:{}: {}\n", part.file_name() ? part.file_name() : "?", part.line_number(),
                          part.message());
  }
  return text;
}

/// Gathers each test's verdict on a group of its own: a test's unfinished business cannot mix with it.
class SharedVerdict final : public testing::EmptyTestEventListener {
 public:
  explicit SharedVerdict(std::unique_ptr<Communicator> ranks) : ranks_(std::move(ranks)) {}

  void OnTestEnd(const testing::TestInfo& test) override {
    const std::vector<std::string> failures = ranks_->gather_texts(failures_of(test));
    for (std::size_t rank = 1; rank < failures.size(); ++rank)
      if (ranks_->rank() == 0 && !failures[rank].empty())
        ADD_FAILURE() << "on rank " << rank << ":\n" << failures[rank];
  }

 private:
  std::unique_ptr<Communicator> ranks_;
};

int run_tests(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  // One thread a rank, as ranks share the cores; and sums in an order that does not depend on the machine.
  at::set_num_threads(1);
  testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
  if (world().rank() != 0) delete listeners.Release(listeners.default_result_printer());
  // Listeners hear of a test's end in reverse order: the verdict comes before rank 0 prints it.
  listeners.Append(new SharedVerdict(world().duplicate("verdict")));
  return static_cast<int>(world().agree(RUN_ALL_TESTS()));
}

}  // namespace

Communicator& world() {
  return *the_world;
}

MpiSession& mpi_session() {
  return *the_session;
}

}  // namespace ganymede::test

int main(int argc, char** argv) {
  using namespace ganymede;
  MpiSession session(test::piece);
  const std::unique_ptr<Communicator> ranks = test::make_world(session);
  test::the_session = &session;
  test::the_world = ranks.get();
  return test::run_tests(argc, argv);
}
