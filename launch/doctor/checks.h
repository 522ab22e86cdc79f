#pragma once

#include <span>

#include "distributed/mpi_diagnostics.h"
#include "launch/device.h"
#include "launch/doctor/examined_job.h"

namespace ganymede {

/// One line of `ganymede doctor`. Runs on every rank and gives all of them the same verdict; may throw AgreedError.
struct Check {
  const char* name;
  const char* help;
  Verdict (*run)(ExaminedJob& job);
};

/// In the order in which they run: a later one may need what an earlier one has set up.
std::span<const Check> doctor_checks();

// launch/doctor/job.cpp
Verdict examine_arguments(ExaminedJob& job);
Verdict examine_ranks(ExaminedJob& job);
Verdict examine_cores(ExaminedJob& job);
Verdict examine_memory(ExaminedJob& job);
/// What is wrong where one process stands alone though Slurm has started `slurm_tasks` of it; "" for nothing.
std::string srun_complaint(int ranks, const char* slurm_tasks);
/// "3 ranks share 2 cores of a", or "". `places` are place_of_this_process() of all ranks.
std::string crowding_text(std::span<const std::string> places);

// launch/doctor/versions.cpp
Verdict examine_versions(ExaminedJob& job);

// launch/doctor/devices.cpp
/// Chooses the device of the checks that follow.
Verdict examine_devices(ExaminedJob& job);
/// The ranks of each GPU that has several; `gpus` are those of all ranks, in their order.
std::vector<std::vector<int>> sharing_ranks(std::span<const RankGpu> gpus);

// launch/doctor/network.cpp
Verdict examine_all_reduce(ExaminedJob& job);
Verdict examine_links(ExaminedJob& job);
/// The pairs that exchange messages at once: nobody is in two of them. In each the first is the lower.
using LinkRound = std::vector<std::pair<int, int>>;
/// Rounds of a round-robin tournament: all n - 1 (n, where n is odd) have every pair of n players once, and of fewer
/// each player meets another one in each.
std::vector<LinkRound> tournament_rounds(int players, int most_rounds);
/// The pairs of ranks that are measured: those of each host's ranks, in 7 rounds at most (all pairs of 8 ranks), all
/// hosts at once, and then those of the hosts' first ranks, in 31 rounds at most (all pairs of 32 hosts).
struct LinkPlan {
  std::vector<LinkRound> rounds;
  std::int64_t pairs_within_hosts = 0, pairs_of_hosts = 0;  ///< that there are, measured or not
};
/// `hosts` are those of all ranks, in their order.
LinkPlan plan_links(std::span<const std::string> hosts);
/// What was measured of a pair of ranks.
struct LinkFigure {
  int from, to;
  LinkTime time;
};
/// The slowest pair and the median, within hosts and between them; a warning that names pairs slower than a third of
/// their median. At least one figure.
Verdict judge_links(std::vector<LinkFigure> figures, const LinkPlan& plan,
                    std::span<const std::string> hosts);

// launch/doctor/speed.cpp
Verdict examine_speed(ExaminedJob& job);

// launch/doctor/dataset.cpp
Verdict examine_dataset(ExaminedJob& job);

// launch/doctor/run_folder.cpp
Verdict examine_run_folder(ExaminedJob& job);

}  // namespace ganymede
