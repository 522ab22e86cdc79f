#include <algorithm>
#include <set>

#include "core/checkpoint_store.h"
#include "core/error.h"
#include "core/run_chain.h"
#include "launch/command_line.h"
#include "launch/commands.h"
#include "launch/saved_tensors.h"
#include "launch/text.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

constexpr const char* usage = R"(usage: ganymede verify-run A B

Compares two runs step by step by their chains (chain.jsonl, --chain.every): the seeds of all draws,
digests of the batches, the losses to the last bit, digests of weights and buffers by tensor. Says at
which step they first differ and in what, and by how much, where both have a checkpoint from there on.

The exit code is 0 where they are the same as far as both go, 8 where they differ, and 4 where a chain
is damaged. Only runs that repeat bit for bit are the same: equal options, data, build, processor,
threads and number of ranks. On another number of ranks losses and weights differ by rounding from
the first steps on; seeds and batches do not.

)";

const std::vector<Flag> flags{{"help", "", "this text"}};

constexpr std::size_t most_lines = 20;

void print_some(const std::vector<std::string>& lines) {
  for (std::size_t i = 0; i < std::min(lines.size(), most_lines); ++i) fmt::print("  {}\n", lines[i]);
  if (lines.size() > most_lines) fmt::print("  and {} more\n", with_thousands(std::ssize(lines) - most_lines));
}

std::set<std::int64_t> saved_steps(const fs::path& run) {
  std::set<std::int64_t> steps;
  for (const fs::path& checkpoint : CheckpointStore(run / "checkpoints", 1).list()) steps.insert(*step_of(checkpoint));
  return steps;
}

/// By how much tensors differ in the first checkpoints that both have of this step or a later one, if any.
void print_distances(const fs::path& a, const fs::path& b, std::int64_t step) {
  const std::set<std::int64_t> of_a = saved_steps(a), of_b = saved_steps(b);
  const auto both = std::find_if(of_a.lower_bound(step), of_a.end(), [&](std::int64_t at) { return of_b.contains(at); });
  if (both == of_a.end()) return;
  const fs::path name = fs::path("checkpoints") / checkpoint_name(*both);
  try {
    const std::vector<std::string> lines = tensor_differences(read_saved(a / name), read_saved(b / name));
    fmt::print("in the checkpoints of step {} {} tensors differ:\n", with_thousands(*both),
               with_thousands(std::ssize(lines)));
    print_some(lines);
  } catch (const Error& error) {
    if (error.code() != ExitCode::checkpoint) throw;
    fmt::print("the checkpoints of step {} cannot be compared: {}\n", with_thousands(*both), error.what());
  }
}

}  // namespace

int verify_run_command(std::span<const std::string> arguments) {
  const CommandLine line = parse_command_line(arguments, flags, {});
  if (line.has("help")) {
    fmt::print("{}{}", usage, flag_help(flags));
    return 0;
  }
  if (line.positional.size() != 2)
    fail(ExitCode::options, "ganymede verify-run takes two runs, A and B, {} given: see --help",
         line.positional.size());
  const fs::path a = line.positional[0], b = line.positional[1];
  const ChainComparison found = compare_chains(a, b);
  if (found.compared == 0)
    fail(ExitCode::checkpoint, "the chains of {} and {} have no step in common: train both with the same --chain.every from "
         "their first step on",
         a.string(), b.string());
  if (found.differs_at < 0) {
    fmt::print("the same in all {} steps that both have, up to step {}\n", with_thousands(found.compared),
               with_thousands(found.same_until));
    for (const auto& [name, path, last] : {std::tuple("A", a, found.last_of_a), {"B", b, found.last_of_b}})
      if (last > found.same_until) fmt::print("{}, {}, goes on to step {}\n", name, path.string(), with_thousands(last));
    return 0;
  }
  if (found.same_until >= 0)
    fmt::print("the same up to step {}\n", with_thousands(found.same_until));
  print_some(found.tensors);
  print_distances(a, b, found.differs_at);
  fail(ExitCode::diverged, "{} and {} differ from step {} on in {}", a.string(), b.string(), found.differs_at,
       found.what);
}

}  // namespace ganymede
