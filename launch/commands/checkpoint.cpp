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

/// The checkpoints that a path means, newest first: itself, or those of the run.
std::vector<fs::path> checkpoints_of(const fs::path& path) {
  std::error_code error;
  if (fs::exists(path / Manifest::file_name, error) || step_of(path)) return {path};
  std::vector<fs::path> found = CheckpointStore(path / "checkpoints", 1).list();
  if (found.empty())
    fail(ExitCode::checkpoint, "{} {}: name a run or one of its checkpoints", path.string(),
         fs::exists(path, error) ? "holds no checkpoint" : "does not exist");
  return found;
}

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

/// A checkpoint in memory.
struct Saved {
  fs::path path;
  Manifest manifest;
  std::map<std::string, at::Tensor> tensors;
};

Saved read_saved(const fs::path& path) {
  for (const fs::path& checkpoint : checkpoints_of(path)) try {
      Saved saved{checkpoint, read_manifest(checkpoint), {}};
      for (auto& [name, tensor] : read_tensors(checkpoint, saved.manifest))
        saved.tensors.emplace(name, tensor);
      return saved;
    } catch (const Error& error) {
      if (error.code() != ExitCode::checkpoint || checkpoint == path) throw;
      print_error(fmt::format("warning: passed over {}: {}", checkpoint.string(), error.what()));
    }
  fail(ExitCode::checkpoint, "none of the checkpoints in {} is sound", path.string());
}

/// How `b` differs from `a`, or nothing where every bit is the same.
std::string difference(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type())
    return fmt::format("{} [{}] and {} [{}]", c10::toString(a.scalar_type()), fmt::join(a.sizes(), ", "),
                       c10::toString(b.scalar_type()), fmt::join(b.sizes(), ", "));
  if (std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0) return "";
  const at::Tensor x = a.to(at::kDouble), apart = b.to(at::kDouble) - x;
  return fmt::format("relative L2 {:.3g}, largest difference {:.3g}",
                     (apart.norm() / x.norm()).item<double>(), apart.abs().max().item<double>());
}

/// The options that are in one of the two only, or are another there.
std::vector<std::string> option_differences(const Saved& a, const Saved& b) {
  const auto options_of = [](const Saved& saved) {
    return parse_recipe(saved.manifest.header.value("options", ""), saved.path.string());
  };
  const Settings first = options_of(a), second = options_of(b);
  std::vector<std::string> lines;
  const auto add = [&](const char* name, const Settings& those, const Settings& others) {
    for (const auto& [key, setting] : those)
      if (const auto other = others.find(key); other == others.end() || other->second.value != setting.value)
        lines.push_back(fmt::format("{} {} = {}", name, key, setting.value));
  };
  add("A", first, second);
  add("B", second, first);
  return lines;
}

/// In the order in which they were saved: weights before moments.
std::vector<std::string> tensor_differences(const Saved& a, const Saved& b) {
  std::vector<std::string> lines;
  for (const TensorRecord& record : a.manifest.tensors) {
    const auto other = b.tensors.find(record.name);
    const std::string text =
        other == b.tensors.end() ? "only in A" : difference(a.tensors.at(record.name), other->second);
    if (!text.empty()) lines.push_back(fmt::format("{}: {}", record.name, text));
  }
  for (const TensorRecord& record : b.manifest.tensors)
    if (!a.tensors.contains(record.name)) lines.push_back(fmt::format("{}: only in B", record.name));
  return lines;
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
  const Saved a = read_saved(line.positional[0]), b = read_saved(line.positional[1]);
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
