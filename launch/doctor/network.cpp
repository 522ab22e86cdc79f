#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>

#include "launch/doctor/checks.h"
#include "launch/text.h"

namespace ganymede {
namespace {

// A round takes two budgets, a second, unless a single message takes longer: all of them 40 s at most.
constexpr int most_rounds_within_hosts = 7, most_rounds_between_hosts = 31;

}  // namespace

LinkPlan plan_links(std::span<const std::string> hosts) {
  std::vector<std::vector<int>> by_host;
  std::vector<std::string> names;
  for (std::size_t rank = 0; rank < hosts.size(); ++rank) {
    const auto host = static_cast<std::size_t>(std::ranges::find(names, hosts[rank]) - names.begin());
    if (host == names.size()) {
      names.push_back(hosts[rank]);
      by_host.emplace_back();
    }
    by_host[host].push_back(static_cast<int>(rank));
  }
  LinkPlan plan;
  const auto add = [&](const std::vector<int>& ranks, std::size_t first, int most_rounds) {
    const auto rounds = tournament_rounds(static_cast<int>(ranks.size()), most_rounds);
    if (plan.rounds.size() < first + rounds.size()) plan.rounds.resize(first + rounds.size());
    for (std::size_t round = 0; round < rounds.size(); ++round)
      for (const auto& [a, b] : rounds[round])
        plan.rounds[first + round].emplace_back(ranks[static_cast<std::size_t>(a)],
                                                ranks[static_cast<std::size_t>(b)]);
    return std::ssize(ranks) * (std::ssize(ranks) - 1) / 2;
  };
  std::vector<int> leaders;
  for (const std::vector<int>& ranks : by_host) {
    plan.pairs_within_hosts += add(ranks, 0, most_rounds_within_hosts);
    leaders.push_back(ranks.front());
  }
  plan.pairs_of_hosts = add(leaders, plan.rounds.size(), most_rounds_between_hosts);
  return plan;
}

std::vector<LinkRound> tournament_rounds(int players, int most_rounds) {
  if (players < 2) return {};
  const int seats = players + players % 2;  // who meets the empty seat pauses
  std::vector<LinkRound> rounds(static_cast<std::size_t>(std::min(seats - 1, most_rounds)));
  for (int round = 0; round < static_cast<int>(rounds.size()); ++round)
    for (int i = 0; i < seats / 2; ++i) {
      // The last seat stays, the others go around it by one a round.
      const int a = i == 0 ? seats - 1 : (round + i) % (seats - 1), b = (round - i + seats - 1) % (seats - 1);
      if (std::max(a, b) < players)
        rounds[static_cast<std::size_t>(round)].emplace_back(std::min(a, b), std::max(a, b));
    }
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
constexpr std::size_t most_named = 4;

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

/// Of all pairs of the plan, the same on all ranks.
std::vector<LinkFigure> measure_links(ExaminedJob& job, const LinkPlan& plan) {
  Process& process = job.process();
  std::vector<LinkFigure> figures;
  for (const LinkRound& round : plan.rounds) {
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
      figures.push_back({from, to, {latencies[leader], rates[leader]}});
    }
  }
  return figures;
}

double rate_of(const LinkFigure& figure) {
  return figure.time.bytes_per_second;
}

std::string pair_text(const LinkFigure& figure, std::span<const std::string> hosts) {
  return fmt::format("{} to {}", places_text({&figure.from, 1}, hosts), places_text({&figure.to, 1}, hosts));
}

/// Of figures by their rates, the slowest first.
std::string figures_text(const std::vector<LinkFigure>& figures, std::int64_t pairs,
                         std::span<const std::string> hosts) {
  std::vector<double> latencies, rates;
  for (const LinkFigure& figure : figures) {
    latencies.push_back(figure.time.latency);
    rates.push_back(rate_of(figure));
  }
  const std::string measured = fmt::format("{} of {} pairs", figures.size(), pairs);
  const double latency = 1e6 * lower_median(latencies);
  if (figures.size() == 1)
    return fmt::format("{}, {:.3g} GB/s, {:.3g} us", measured, 1e-9 * rates[0], latency);
  return fmt::format("{}, slowest {:.3g} GB/s ({}), median {:.3g} GB/s, {:.3g} us", measured, 1e-9 * rates[0],
                     pair_text(figures[0], hosts), 1e-9 * lower_median(rates), latency);
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

Verdict judge_links(std::vector<LinkFigure> figures, const LinkPlan& plan,
                    std::span<const std::string> hosts) {
  std::ranges::sort(figures, {}, rate_of);
  std::vector<std::string> parts, slow;
  for (const bool within_host : {true, false}) {
    std::vector<LinkFigure> those;
    std::vector<double> seconds_a_byte;
    for (const LinkFigure& figure : figures) {
      const auto from = static_cast<std::size_t>(figure.from), to = static_cast<std::size_t>(figure.to);
      if ((hosts[from] == hosts[to]) != within_host) continue;
      those.push_back(figure);
      seconds_a_byte.push_back(1 / rate_of(figure));
    }
    if (those.empty()) continue;
    parts.push_back(
        fmt::format("{}: {}", within_host ? "within a host" : "between hosts",
                    figures_text(those, within_host ? plan.pairs_within_hosts : plan.pairs_of_hosts, hosts)));
    for (const int i : far_above_median(seconds_a_byte, slow_link)) {
      const LinkFigure& figure = those[static_cast<std::size_t>(i)];
      slow.push_back(fmt::format("{}: {:.3g} GB/s", pair_text(figure, hosts), 1e-9 * rate_of(figure)));
    }
  }
  const std::string text = fmt::format("messages of {} over MPI, disjoint pairs at once: {}",
                                       byte_text(link_bytes), fmt::join(parts, "; "));
  if (slow.empty()) return all_well(text);
  const std::size_t count = slow.size();
  if (count > most_named) slow.resize(most_named);
  return warning(fmt::format(
      "{}; slower than a third of the median: {}{}: look at the cable, the port and the interface "
      "that MPI takes (--mca btl_tcp_if_include)",
      text, fmt::join(slow, ", "),
      count > most_named ? fmt::format(" and {} more", count - most_named) : ""));
}

Verdict examine_links(ExaminedJob& job) {
  if (job.process().size() == 1) return skipped("one rank has nobody to send to");
  const LinkPlan plan = plan_links(job.hosts());
  return judge_links(measure_links(job, plan), plan, job.hosts());
}

}  // namespace ganymede
