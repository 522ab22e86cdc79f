#include "launch/threads.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <sched.h>

#include <thread>

namespace ganymede {

std::string place_of_this_process() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  // Fails on machines with more cores than the set holds.
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
    return fmt::format("{} {} all", std::max(1u, std::thread::hardware_concurrency()), host_name());
  std::string cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &allowed)) cores += fmt::format("{},", cpu);
  return fmt::format("{} {} {}", CPU_COUNT(&allowed), host_name(), cores);
}

int threads_each(std::span<const std::string> places) {
  std::ptrdiff_t least = std::numeric_limits<int>::max();
  for (const std::string& place : places)
    least = std::min(least, std::stol(place) / std::ranges::count(places, place));
  return static_cast<int>(std::max<std::ptrdiff_t>(least, 1));
}

void set_threads(Process& process, std::int64_t wanted) {
  const auto places = process.world().gather_texts(place_of_this_process());
  at::set_num_threads(wanted > 0 ? static_cast<int>(wanted) : threads_each(places));
}

}  // namespace ganymede
