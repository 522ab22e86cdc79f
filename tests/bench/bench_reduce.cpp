// bench_reduce BUCKET_MIB PAIRS [KIB ...]: for each size, pairs of one all-reduce by MPI_Allreduce and one by
// a reducer over an arena of that size, in turn. Under mpirun; rank 0 prints one JSON object a size:
//
//     {"bytes": 65536, "buckets": 1, "collectives": 1, "sent": 65536, "arena": 65536, "mpi": [seconds, ...],
//     "ours": [...]}
//
// A pair's times are those of the slower rank, from a barrier on. `collectives` and `sent` are a round's
// traffic.

#define OMPI_SKIP_MPICXX
#include <ATen/Parallel.h>
#include <mpi.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/arena.h"
#include "distributed/gradient_reducer.h"
#include "distributed/mpi.h"

namespace ganymede {
namespace {

/// Parameters of a network's usual sizes, in one arena, with their reducer.
class Reduced {
 public:
  Reduced(std::int64_t bytes, std::int64_t bucket_bytes, Communicator& communicator) {
    constexpr std::int64_t largest = 256 * 1024;
    NamedTensors named;
    for (std::int64_t left = bytes / 4; left > 0; left -= parameters_.back().numel()) {
      parameters_.push_back(at::zeros({std::min(left, largest)}).set_requires_grad(true));
      named.emplace_back(std::to_string(named.size()), parameters_.back());
    }
    const ArenaLayout layout(named, at::kFloat);
    arena_ = layout.allocate();
    const NamedTensors views = layout.views(arena_);
    for (std::size_t i = 0; i < parameters_.size(); ++i) parameters_[i].mutable_grad() = views[i].second;
    reducer_ =
        std::make_unique<GradientReducer>(parameters_, layout.offsets(), arena_, communicator, bucket_bytes);
  }
  void reduce() {
    reducer_->arm();
    reducer_->finalize();
  }
  const at::Tensor& arena() const { return arena_; }
  const GradientReducer& reducer() const { return *reducer_; }

 private:
  std::vector<at::Tensor> parameters_;
  at::Tensor arena_;
  std::unique_ptr<GradientReducer> reducer_;
};

double time_of(Communicator& communicator, const std::function<void()>& act, std::int64_t repeats) {
  communicator.barrier();
  const double start = MPI_Wtime();
  for (std::int64_t i = 0; i < repeats; ++i) act();
  at::Tensor seconds = at::full({1}, (MPI_Wtime() - start) / static_cast<double>(repeats), at::kDouble);
  communicator.all_reduce(seconds, Reduction::max)->wait();
  return seconds.item<double>();
}

nlohmann::json measure(std::int64_t bytes, std::int64_t bucket_bytes, int pairs, Communicator& communicator) {
  Reduced reduced(bytes, bucket_bytes, communicator);
  at::Tensor raw = at::zeros_like(reduced.arena());
  const auto by_mpi = [&] {
    MPI_Allreduce(MPI_IN_PLACE, raw.data_ptr(), static_cast<int>(raw.numel()), MPI_FLOAT, MPI_SUM,
                  MPI_COMM_WORLD);
  };
  const auto by_us = [&] { reduced.reduce(); };
  // A short transfer is repeated until the clock can see it.
  const std::int64_t repeats = std::max<std::int64_t>(1, (std::int64_t{8} << 20) / bytes);
  std::vector<double> mpi, ours;
  by_mpi();
  by_us();
  for (int pair = 0; pair < pairs; ++pair) {
    mpi.push_back(time_of(communicator, by_mpi, repeats));
    ours.push_back(time_of(communicator, by_us, repeats));
  }
  const GradientReducer::Traffic traffic = reduced.reducer().traffic();
  return {{"bytes", bytes},
          {"buckets", reduced.reducer().buckets().size()},
          {"collectives", traffic.collectives},
          {"sent", traffic.bytes},
          {"arena", reduced.arena().nbytes()},
          {"mpi", mpi},
          {"ours", ours}};
}

void run(int argc, char** argv) {
  at::set_num_threads(1);
  MpiSession session;
  const auto world = session.world();
  const auto bucket_bytes = static_cast<std::int64_t>(std::stod(argv[1]) * (1 << 20));
  for (int i = 3; i < argc; ++i) {
    const nlohmann::json result =
        measure(std::stoll(argv[i]) * 1024, bucket_bytes, std::stoi(argv[2]), *world);
    if (world->rank() == 0) fmt::print("{}\n", result.dump());
  }
}

}  // namespace
}  // namespace ganymede

int main(int argc, char** argv) {
  if (argc < 4) {
    fmt::print(stderr, "usage: bench_reduce BUCKET_MIB PAIRS KIB [KIB ...]\n");
    return 2;
  }
  ganymede::run(argc, argv);
  return 0;
}
