#include "launch/postmortem.h"

#include <fmt/ranges.h>

#include "core/checkpoint_store.h"
#include "core/error.h"
#include "launch/command_line.h"
#include "launch/commands.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

constexpr const char* usage =
    R"(usage: ganymede postmortem RUN [--before] [--events N]

Says what became of a run's last start: of each rank where it was at last and how it ended, the last
checkpoint, and in a sentence what happened. It reads the black boxes that ranks keep in RUN/blackbox, which
survive SIGKILL; also those of a run under way. Where some are missing or damaged, it says what the others
tell, and the exit code is 4.

)";

const std::vector<Flag> flags{
    {"before", "", "of the start before the last"},
    {"events", "N", "print the last N events of each rank too [0]"},
    {"help", "", "this text"},
};

std::string last_checkpoint(const fs::path& run) {
  for (const fs::path& folder : CheckpointStore(run / "checkpoints", 1).list()) try {
      const Manifest manifest = read_manifest(folder);
      check_sizes(folder, manifest);
      return fmt::format("of step {}, {}", manifest.step, folder.string());
    } catch (const Error& error) {
      if (error.code() != ExitCode::checkpoint) throw;
    }
  return "none";
}

}  // namespace

int postmortem_command(std::span<const std::string> arguments) {
  const CommandLine line = parse_command_line(arguments, flags, {});
  if (line.has("help")) {
    fmt::print("{}{}", usage, flag_help(flags));
    return 0;
  }
  if (line.positional.size() != 1) fail(ExitCode::options, "ganymede postmortem takes one run: see --help");
  const fs::path run = line.positional.front();
  const std::int64_t count = line.integer("events", 0, {0, 1e9});
  const BoxesOfRun boxes =
      read_black_boxes(line.has("before") ? BlackBox::folder_before(run) : BlackBox::folder(run));
  const std::span<const BoxContent> ranks = boxes.ranks;
  fmt::print("{}: started {}, ranks: {}; times are since then\n", run.string(), start_time(ranks), ranks.front().size);
  for (const BoxContent& rank : ranks) {
    fmt::print("{}\n", rank_line(rank, ranks));
    const std::int64_t first = std::max<std::int64_t>(0, std::ssize(rank.events) - count);
    for (auto i = static_cast<std::size_t>(first); i < rank.events.size(); ++i)
      fmt::print("  {}\n", event_line(rank.events[i], rank, ranks));
  }
  fmt::print("last checkpoint: {}\n{}\n", last_checkpoint(run), verdict(ranks));
  if (!boxes.damages.empty()) fail(ExitCode::checkpoint, "{}", damages_text(boxes));
  return 0;
}

}  // namespace ganymede
