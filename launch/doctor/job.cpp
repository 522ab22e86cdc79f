#include <fmt/ranges.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <set>

#include "datasets/memory_limit.h"
#include "launch/doctor/checks.h"
#include "launch/text.h"
#include "launch/threads.h"

namespace ganymede {
namespace {

constexpr std::int64_t least_memory = std::int64_t{1} << 30;
constexpr std::size_t most_hosts = 8;

/// Hosts with the numbers of their ranks, in the order of the ranks.
std::vector<std::pair<std::string, int>> ranks_by_host(std::span<const std::string> hosts) {
  std::vector<std::pair<std::string, int>> counts;
  for (const std::string& host : hosts) {
    const auto found = std::ranges::find(counts, host, [](const auto& entry) { return entry.first; });
    ++(found == counts.end() ? counts.emplace_back(host, 0) : *found).second;
  }
  return counts;
}

/// What Linux could give without swapping, in bytes; as much as there can be where it does not say.
std::int64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  std::int64_t kib = 0;
  for (std::string name; file >> name; file.ignore(256, '\n'))
    if (name == "MemAvailable:" && file >> kib) return kib * 1024;
  return std::numeric_limits<std::int64_t>::max();
}

/// Of place_of_this_process().
std::string host_of(const std::string& place) {
  const auto first = place.find(' ') + 1;
  return place.substr(first, place.find(' ', first) - first);
}

}  // namespace

Verdict examine_arguments(ExaminedJob& job) {
  const DoctorRequest& request = job.request();
  std::vector<std::string> data;
  for (const auto& file : request.data) data.push_back(file.string());
  const auto unlike =
      job.unlike_first(fmt::format("{} {} {} {} {}", fmt::join(data, " "), request.out.string(),
                                   request.device, request.slow, request.watchdog_seconds));
  if (unlike.empty()) return all_well(job.process().size() == 1 ? "of one rank" : "the same on all ranks");
  return failure(
      ExitCode::options,
      fmt::format("{}: other arguments than rank 0's: start every rank with the same, and with paths that "
                  "mean the same on every host",
                  places_text(unlike, job.hosts())));
}

std::string srun_complaint(int ranks, const char* slurm_tasks) {
  if (ranks > 1 || slurm_tasks == nullptr || std::atoi(slurm_tasks) <= 1) return "";
  return fmt::format(
      "srun has started {} tasks, and each stands alone: give srun --mpi=pmix (srun --mpi=list tells whether "
      "this "
      "Slurm has it), or start the ranks with mpirun",
      slurm_tasks);
}

Verdict examine_ranks(ExaminedJob& job) {
  const int ranks = job.process().size();
  if (!Process::launched_by_mpi())
    if (const std::string text = srun_complaint(ranks, std::getenv("SLURM_STEP_NUM_TASKS")); !text.empty())
      return failure(ExitCode::options, text);
  if (ranks == 1)
    return all_well(
        fmt::format("1 on {}: start this command as the run will be, with mpirun or srun, to try all of "
                    "its ranks",
                    job.hosts().front()));
  const auto counts = ranks_by_host(job.hosts());
  std::vector<std::string> parts;
  for (const auto& [host, count] : counts) {
    if (parts.size() == most_hosts) break;
    parts.push_back(fmt::format("{} on {}", count, host));
  }
  return all_well(fmt::format("{} on {} host{}: {}{}", ranks, counts.size(), counts.size() == 1 ? "" : "s",
                              fmt::join(parts, ", "), counts.size() > parts.size() ? ", ..." : ""));
}

std::string crowding_text(std::span<const std::string> places) {
  std::vector<std::string> parts;
  for (const std::string& place : std::set<std::string>(places.begin(), places.end())) {
    const auto ranks = std::ranges::count(places, place);
    const long cores = std::stol(place);
    if (ranks > cores)
      parts.push_back(
          fmt::format("{} ranks share {} core{} of {}", ranks, cores, cores == 1 ? "" : "s", host_of(place)));
  }
  if (parts.size() > most_hosts) parts.resize(most_hosts);
  return fmt::format("{}", fmt::join(parts, ", "));
}

Verdict examine_cores(ExaminedJob& job) {
  const std::vector<std::string> places = job.gather(place_of_this_process());
  const std::vector<double> online = job.gather(static_cast<double>(::sysconf(_SC_NPROCESSORS_ONLN)));
  std::vector<double> cores;
  for (const std::string& place : places) cores.push_back(static_cast<double>(std::stol(place)));
  const auto [least, most] = std::ranges::minmax(cores);
  const std::string allowed = least == most ? fmt::format("{}", least) : fmt::format("{} to {}", least, most);
  const std::string text = fmt::format("{} of the {} of its host for a rank, {} thread(s) each", allowed,
                                       std::ranges::min(online), threads_each(places));
  if (const std::string crowded = crowding_text(places); !crowded.empty())
    return warning(
        fmt::format("{}: {}: start fewer ranks on a host, or give them more cores (mpirun --bind-to none; "
                    "Slurm: --cpus-per-task)",
                    text, crowded));
  return all_well(text);
}

Verdict examine_memory(ExaminedJob& job) {
  const auto mine = std::min(available_memory(), memory_limit()) / job.process().world().local_size();
  const std::vector<double> shares = job.gather(static_cast<double>(mine));
  const auto least = std::ranges::min_element(shares);
  const std::string text =
      fmt::format("{} free for a rank at least ({})", byte_text(static_cast<std::int64_t>(*least)),
                  job.place(static_cast<int>(least - shares.begin())));
  if (*least < least_memory)
    return warning(
        text +
        ": start fewer ranks there, or end what else holds memory; train --dry-run tells what a run "
        "needs");
  return all_well(text);
}

}  // namespace ganymede
