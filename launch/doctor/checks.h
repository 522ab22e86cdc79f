#pragma once

#include <span>

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
/// Of a ring of ranks, the pairs that exchange messages in one round: no rank is in two of them. Each is (r, its
/// neighbour); two or, where the number of ranks is odd, three rounds have all pairs of neighbours.
std::vector<std::vector<std::pair<int, int>>> ring_rounds(int ranks);

// launch/doctor/speed.cpp
Verdict examine_speed(ExaminedJob& job);

// launch/doctor/dataset.cpp
Verdict examine_dataset(ExaminedJob& job);

// launch/doctor/run_folder.cpp
Verdict examine_run_folder(ExaminedJob& job);

}  // namespace ganymede
