#include <fmt/chrono.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include "core/checkpoint_store.h"
#include "core/error.h"
#include "core/options.h"
#include "core/strict_json.h"
#include "launch/actions.h"
#include "launch/commands.h"
#include "launch/damages.h"
#include "launch/process.h"
#include "launch/progress_line.h"
#include "launch/saved_tensors.h"
#include "launch/text.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

constexpr const char* usage =
    R"(usage: ganymede checkpoint list RUN ...                 what checkpoints a run has
       ganymede checkpoint verify RUN|CHECKPOINT ...    read all of each and check every digest
       ganymede checkpoint diff A B                     how two runs or checkpoints differ

A and B are checkpoints, or runs, of which the newest whole checkpoint is meant. Where one is
damaged, or the two differ, the exit code is 4.

)";

const std::vector<Flag> flags{{"help", "", "this text"}};

constexpr std::size_t most_lines = 20;

std::int64_t bytes_of(const Manifest& manifest) {
  std::int64_t bytes = 0;
  for (const FileRecord& shard : manifest.shards) bytes += shard.size;
  return bytes;
}

std::string time_of(const fs::path& checkpoint) {
  struct stat status {};
  if (::stat((checkpoint / Manifest::file_name).c_str(), &status) != 0) return "?";
  return fmt::format("{:%Y-%m-%d %H:%M:%S}", fmt::localtime(status.st_mtime));
}

/// A number of the header, or a question mark where another program's has none.
std::string header_number(const Manifest& manifest, const char* key) {
  const auto found = manifest.header.find(key);
  return found != manifest.header.end() && found->is_number_integer()
             ? with_thousands(found->get<std::int64_t>())
             : "?";
}

void print_line(const fs::path& checkpoint) {
  try {
    const Manifest manifest = read_manifest(checkpoint);
    check_sizes(checkpoint, manifest);
    fmt::print("  {:>13} {:>15} {:>6} {:>11}  {}  {}\n", with_thousands(manifest.step),
               header_number(manifest, "position"), manifest.shards.size(), byte_text(bytes_of(manifest)),
               time_of(checkpoint), checkpoint.filename().string());
  } catch (const Error& error) {
    if (error.code() != ExitCode::checkpoint) throw;
    fmt::print("  {}: not whole: {}\n", checkpoint.filename().string(), error.what());
  }
}

int list_command(const CommandLine& line) {
  for (const std::string& path : line.positional) {
    const std::vector<fs::path> found = checkpoints_of(path);
    fmt::print("{}\n  {:>13} {:>15} {:>6} {:>11}  saved\n", path, "step", "images", "ranks", "size");
    for (const fs::path& checkpoint : found) print_line(checkpoint);
  }
  return 0;
}

void verify(const fs::path& checkpoint, ProgressLine& progress) {
  const Manifest manifest = read_manifest(checkpoint);
  const auto shards = static_cast<int>(manifest.shards.size());
  std::int64_t done = 0;
  const std::int64_t total = bytes_of(manifest);
  progress.start(0);
  for (int shard = 0; shard < shards; ++shard) {
    verify_shards(checkpoint, manifest, shard, shards);
    done += manifest.shards[static_cast<std::size_t>(shard)].size;
    progress.advance(done, total);
    progress.show(fmt::format("{}: {} of {}, {} left", checkpoint.string(), byte_text(done), byte_text(total),
                              duration_text(progress.seconds_left())));
  }
  progress.finish();
  fmt::print("{}: step {}, {} tensors, {}, every digest right\n", checkpoint.string(),
             with_thousands(manifest.step), with_thousands(std::ssize(manifest.tensors)), byte_text(total));
}

int verify_command(const CommandLine& line) {
  Damages damages(ExitCode::checkpoint);
  ProgressLine progress(stderr, 10);
  for (const std::string& path : line.positional)
    for (const fs::path& checkpoint : checkpoints_of(path))
      damages.check([&] { verify(checkpoint, progress); });
  damages.report();
  return 0;
}

void print_lines(const std::vector<std::string>& lines) {
  for (std::size_t i = 0; i < std::min(lines.size(), most_lines); ++i) fmt::print("  {}\n", lines[i]);
  if (lines.size() > most_lines)
    fmt::print("  and {} more\n", with_thousands(std::ssize(lines) - most_lines));
}

int diff_command(const CommandLine& line) {
  if (line.positional.size() != 2)
    fail(ExitCode::options, "ganymede checkpoint diff takes A and B, {} given: see --help",
         line.positional.size());
  const SavedTensors a = read_saved(line.positional[0]), b = read_saved(line.positional[1]);
  for (const auto& [name, saved] : {std::pair("A", &a), std::pair("B", &b)})
    fmt::print("{} {}: step {}, {} images, {} ranks\n", name, saved->path.string(),
               with_thousands(saved->manifest.step), header_number(saved->manifest, "position"),
               saved->manifest.shards.size());
  const std::vector<std::string> options = option_differences(a, b), tensors = tensor_differences(a, b);
  print_lines(options);
  print_lines(tensors);
  if (!tensors.empty())
    fail(ExitCode::checkpoint, "{} and {} differ in {} of {} tensors", a.path.string(), b.path.string(),
         tensors.size(), std::max(a.tensors.size(), b.tensors.size()));
  fmt::print("all {} tensors are equal bit by bit\n", with_thousands(std::ssize(a.tensors)));
  return 0;
}

const Action actions[] = {
    {"list", usage, flags, "a run", list_command},
    {"verify", usage, flags, "a run or checkpoint", verify_command},
    {"diff", usage, flags, "two runs or checkpoints", diff_command},
};

}  // namespace

int checkpoint_command(std::span<const std::string> arguments) {
  return run_action("checkpoint", usage, actions, arguments);
}

}  // namespace ganymede
