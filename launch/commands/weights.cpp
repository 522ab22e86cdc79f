#include <fmt/ranges.h>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/strict_json.h"
#include "core/weights_file.h"
#include "launch/command_line.h"
#include "launch/commands.h"
#include "launch/text.h"
#include "models/features/known_weights.h"

namespace ganymede {
namespace {

constexpr const char* usage = R"(usage: ganymede weights check FILE ...

Says what a file of weights is: format, tensors, network, digest. It may be safetensors, or what
torch.save wrote (.pth, .pt, .ckpt, .bin). Nothing in it is run: a file with code is refused.

)";

const std::vector<Flag> flags{{"help", "", "this text"}};

constexpr std::size_t first_names = 3;
constexpr std::size_t most_prefixes = 8;
constexpr std::size_t most_problems = 5;

void print_line(std::string_view name, const std::string& text) {
  fmt::print("  {:<10} {}\n", name, text);
}

std::string types_text(const WeightsFile& file) {
  std::map<std::string, std::int64_t> counts;
  for (const auto& [name, type] : file.tensors()) ++counts[type.dtype_text()];
  std::vector<std::string> parts;
  for (const auto& [dtype, count] : counts)
    parts.push_back(fmt::format("{} ({})", dtype, with_thousands(count)));
  return parts.empty() ? "none" : fmt::format("{}", fmt::join(parts, ", "));
}

/// Names up to the first dot, with their numbers of tensors.
std::string prefixes_text(const WeightsFile& file) {
  std::map<std::string, std::int64_t> counts;
  for (const auto& [name, type] : file.tensors()) ++counts[name.substr(0, name.find('.'))];
  std::vector<std::string> parts;
  for (const auto& [prefix, count] : counts) {
    if (parts.size() == most_prefixes) break;
    parts.push_back(fmt::format("{} ({})", quote(prefix), with_thousands(count)));
  }
  return fmt::format(
      "{}{}", fmt::join(parts, ", "),
      counts.size() > most_prefixes
          ? fmt::format(" and {} more",
                        with_thousands(static_cast<std::int64_t>(counts.size() - most_prefixes)))
          : "");
}

/// What the tensors are for, and what of that is wrong.
void print_network(const WeightsFile& file) {
  const WeightsReport report = recognise_weights(
      {file.path().string(), file.tensors(), [&](const std::string& name) { return file.read(name); }});
  if (report.network.empty()) return print_line("network", "unknown");
  print_line("network", fmt::format("{}, {}: {} of its {} tensors, {} others", report.network, report.layout,
                                    with_thousands(report.found), with_thousands(report.expected),
                                    with_thousands(std::ssize(report.unused))));
  if (!report.caveat.empty()) print_line("caveat", report.caveat);
  for (std::size_t i = 0; i < std::min(report.problems.size(), most_problems); ++i)
    print_line("problem", report.problems[i]);
  if (report.problems.size() > most_problems)
    print_line("problem", fmt::format("and {} more", with_thousands(static_cast<std::int64_t>(
                                                         report.problems.size() - most_problems))));
}

void print_tensors(const WeightsFile& file, std::uint64_t digest) {
  std::int64_t parameters = 0;
  for (const auto& [name, type] : file.tensors()) parameters += type.numel();
  print_line("tensors", fmt::format("{}, {} numbers", with_thousands(std::ssize(file.tensors())),
                                    with_thousands(parameters)));
  print_line("types", types_text(file));
  print_network(file);
  if (!file.tensors().empty()) print_line("names", prefixes_text(file));
  std::size_t shown = 0;
  for (const auto& [name, type] : file.tensors())
    if (shown++ < first_names) print_line("", fmt::format("{} {}", quote(name), type.text()));
  print_line("digest",
             fmt::format("{} (XXH3-64 of names, types and numbers, whatever the format)", hex(digest)));
}

void check(const std::string& path) {
  const WeightsFormat format = weights_format(path);
  std::optional<WeightsFile> file;
  std::uint64_t digest = 0;
  if (format != WeightsFormat::torchscript) {
    file = WeightsFile::open(path);
    digest = file->digest();  // before a word is said: it reads all, and may find damage
  }
  fmt::print("{}\n", path);
  print_line("format", fmt::format("{}, {}", name_of(format), byte_text(size_of_file(path).value_or(0))));
  if (file)
    print_tensors(*file, digest);
  else
    print_line("program", "its weights come with code: nothing in it was listed or run");
}

}  // namespace

int weights_command(std::span<const std::string> arguments) {
  if (arguments.empty()) fail(ExitCode::options, "ganymede weights: give check; --help tells more");
  const bool is_check = arguments.front() == "check";
  if (!is_check && arguments.front() != "--help")
    fail(ExitCode::options, "ganymede weights knows no '{}': give check", arguments.front());
  const CommandLine line = parse_command_line(arguments.subspan(is_check ? 1 : 0), flags, {});
  if (line.has("help")) {
    fmt::print("{}{}", usage, flag_help(flags));
    return 0;
  }
  if (line.positional.empty()) fail(ExitCode::options, "ganymede weights check: name a file; see --help");
  for (const std::string& path : line.positional) check(path);
  return 0;
}

}  // namespace ganymede
