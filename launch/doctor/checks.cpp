#include "launch/doctor/checks.h"

namespace ganymede {
namespace {

constexpr Check table[] = {
    {"arguments", "that every rank was given the same", examine_arguments},
    {"ranks", "how many on which hosts; one that srun has started without the others", examine_ranks},
    {"versions", "of the program and its libraries, the same on all ranks", examine_versions},
    {"cores", "those of each host that its ranks may use, and threads a rank", examine_cores},
    {"memory", "that is free for each rank; below 1 GiB a warning", examine_memory},
    {"devices", "what each rank computes on; two ranks on one GPU", examine_devices},
    {"speed", "products of matrices on all ranks at once; a slow rank", examine_speed},
    {"all-reduce", "bytes summed a second, by size: medians", examine_all_reduce},
    {"links", "messages between pairs of hosts, and of ranks of a host; a slow link", examine_links},
    {"dataset", "--data is sound and the same on all ranks; a few images of it read by each",
     examine_dataset},
    {"run folder", "--out takes, flushes and renames files of all ranks, which see the same; free space",
     examine_run_folder},
};

}  // namespace

std::span<const Check> doctor_checks() {
  return table;
}

}  // namespace ganymede
