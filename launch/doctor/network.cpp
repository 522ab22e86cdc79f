#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <chrono>

#include "distributed/mpi_diagnostics.h"
#include "launch/doctor/checks.h"
#include "launch/text.h"

namespace ganymede {

std::vector<std::vector<std::pair<int, int>>> ring_rounds(int ranks) {
  std::vector<std::vector<std::pair<int, int>>> rounds;
  if (ranks == 2) return {{{0, 1}}};
  for (int parity = 0; parity < 2 && ranks > 2; ++parity) {
    auto& round = rounds.emplace_back();
    for (int rank = parity; rank + 1 < ranks; rank += 2) round.emplace_back(rank, rank + 1);
  }
  if (ranks <= 2) return rounds;
  if (ranks % 2 == 0)
    rounds[1].emplace_back(ranks - 1, 0);
  else
    rounds.push_back({{ranks - 1, 0}});
  return rounds;
}

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

constexpr std::int64_t sizes[] = {4 << 10, 256 << 10, 4 << 20, 32 << 20};
constexpr double budget = 0.5;  // seconds for each size or link
constexpr int most_times = 25;
constexpr std::int64_t link_bytes = 1 << 20;
// Links of one kind differ by less where all is well.
constexpr double slow_link = 3;

/// The median of all-reduces of so many bytes: as many as the budget allows, the same on all ranks.
double median_all_reduce(Process& process, Communicator& group, std::int64_t bytes) {
  at::Tensor tensor = at::ones({bytes / 4}, at::TensorOptions(process.device()).dtype(at::kFloat));
  const auto once = [&] {
    const auto begin = Clock::now();
    group.all_reduce(tensor)->wait();
    tensor[0].item<float>();  // the host waits for the device
    tensor.fill_(1);
    return seconds_since(begin);
  };
  once();  // what goes first opens connections
  const double first = std::max(once(), 1e-9);
  const auto times = process.world().agree(
      -std::clamp(static_cast<std::int64_t>(budget / first), std::int64_t{1}, std::int64_t{most_times}));
  std::vector<double> seconds;
  for (std::int64_t i = 0; i < -times; ++i) seconds.push_back(once());
  return lower_median(seconds);
}

/// A pair of neighbours, by the measurement of its first.
struct LinkFigure {
  int from, to;
  bool within_host;
  LinkTime time;
};

/// All of them, the same on all ranks.
std::vector<LinkFigure> measure_ring(ExaminedJob& job) {
  Process& process = job.process();
  std::vector<LinkFigure> figures;
  for (const auto& round : ring_rounds(process.size())) {
    LinkTime own;
    for (const auto& [from, to] : round) {
      if (process.rank() != from && process.rank() != to) continue;
      const int peer = process.rank() == from ? to : from;
      // Where only some ranks wait, the watchdog learns it as what each does.
      process.note(fmt::format("doctor: messages with rank {}", peer));
      own = measure_link(peer, /*leads=*/process.rank() == from, link_bytes, budget, most_times);
    }
    const std::vector<double> latencies = job.gather(own.latency), rates = job.gather(own.bytes_per_second);
    for (const auto& [from, to] : round) {
      const auto leader = static_cast<std::size_t>(from);
      figures.push_back({from,
                         to,
                         job.hosts()[leader] == job.hosts()[static_cast<std::size_t>(to)],
                         {latencies[leader], rates[leader]}});
    }
  }
  return figures;
}

std::string range_text(std::vector<LinkFigure> figures) {
  const auto rate = [](const LinkFigure& figure) { return figure.time.bytes_per_second; };
  const auto [slowest, fastest] = std::ranges::minmax(figures, {}, rate);
  std::vector<double> latencies;
  for (const LinkFigure& figure : figures) latencies.push_back(figure.time.latency);
  return figures.size() == 1
             ? fmt::format("{:.3g} GB/s, {:.3g} us", 1e-9 * rate(slowest), 1e6 * latencies.front())
             : fmt::format("{} pairs, {:.3g} to {:.3g} GB/s, {:.3g} us", figures.size(), 1e-9 * rate(slowest),
                           1e-9 * rate(fastest), 1e6 * lower_median(latencies));
}

}  // namespace

Verdict examine_all_reduce(ExaminedJob& job) {
  Process& process = job.process();
  if (process.size() == 1) return skipped("one rank has nobody to sum with");
  std::unique_ptr<Communicator> group = process.group("doctor");
  std::vector<std::string> parts;
  for (const std::int64_t bytes : sizes) {
    process.note(fmt::format("doctor: all-reduces of {}", byte_text(bytes)));
    const double seconds = median_all_reduce(process, *group, bytes);
    parts.push_back(
        fmt::format("{}: {:.3g} GB/s", byte_text(bytes), 1e-9 * static_cast<double>(bytes) / seconds));
    // All ranks leave together; what would follow takes longer still.
    if (process.world().agree(seconds > budget ? 1 : 0) != 0) break;
  }
  return all_well(fmt::format("{} (bytes of the tensor a second, medians)", fmt::join(parts, ", ")));
}

Verdict examine_links(ExaminedJob& job) {
  if (job.process().size() == 1) return skipped("one rank has no neighbour");
  const std::vector<LinkFigure> all = measure_ring(job);
  std::vector<std::string> parts, slow;
  for (const bool within_host : {true, false}) {
    std::vector<LinkFigure> figures;
    std::vector<double> seconds_a_byte;
    for (const LinkFigure& figure : all) {
      if (figure.within_host != within_host) continue;
      figures.push_back(figure);
      seconds_a_byte.push_back(1 / figure.time.bytes_per_second);
    }
    if (figures.empty()) continue;
    parts.push_back(
        fmt::format("{}: {}", within_host ? "within a host" : "between hosts", range_text(figures)));
    for (const int i : far_above_median(seconds_a_byte, slow_link)) {
      const LinkFigure& figure = figures[static_cast<std::size_t>(i)];
      slow.push_back(fmt::format("{} to {}: {:.3g} GB/s", job.place(figure.from), job.place(figure.to),
                                 1e-9 * figure.time.bytes_per_second));
    }
  }
  const std::string text = fmt::format(
      "messages of {} over MPI between neighbours in the ring of ranks, disjoint pairs at once: {}",
      byte_text(link_bytes), fmt::join(parts, "; "));
  if (slow.empty()) return all_well(text);
  if (slow.size() > 4) slow.resize(4);
  return warning(
      fmt::format("{}; slower than a third of the median: {}: look at the cable, the port and the interface "
                  "that MPI takes "
                  "(--mca btl_tcp_if_include)",
                  text, fmt::join(slow, ", ")));
}

}  // namespace ganymede
