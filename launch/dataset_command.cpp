#include "launch/dataset_command.h"

#include <fmt/ranges.h>
#include <unistd.h>

#include <boost/program_options/value_semantic.hpp>
#include <cstdio>
#include <functional>

#include "core/error.h"
#include "core/options.h"
#include "datasets/pack.h"
#include "launch/arguments.h"

namespace ganymede {
namespace {

namespace po = boost::program_options;
using Words = std::span<const std::string>;

std::string duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  return whole < 3600 ? fmt::format("{}:{:02}", whole / 60, whole % 60)
                      : fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

/// One line on stderr: rewritten in place on a terminal, else repeated every ten seconds.
class ProgressLine {
 public:
  ~ProgressLine() {
    if (terminal_ && shown_) fmt::print(stderr, "\n");
  }

  void show(const std::string& line, double seconds) {
    if (terminal_) {
      fmt::print(stderr, "\r{:<78}", line);
    } else if (seconds >= next_) {
      fmt::print(stderr, "{}\n", line);
      next_ = seconds + 10;
    } else {
      return;
    }
    std::fflush(stderr);
    shown_ = true;
  }

 private:
  const bool terminal_ = ::isatty(STDERR_FILENO) != 0;
  bool shown_ = false;
  double next_ = 10;
};

ValueRange parse_range(const std::string& text) {
  const std::size_t comma = text.find(',');
  const Setting low{text.substr(0, comma), "command line"};
  const Setting high{comma == std::string::npos ? "" : text.substr(comma + 1), "command line"};
  return {parse_number("--range (LOW,HIGH)", low), parse_number("--range (LOW,HIGH)", high)};
}

std::string choice(const std::string& name, const std::string& value,
                   const std::vector<std::string>& choices) {
  if (std::find(choices.begin(), choices.end(), value) == choices.end())
    fail(ExitCode::options, "--{} {}: one of {}", name, value, fmt::join(choices, ", "));
  return value;
}

po::options_description pack_description() {
  po::options_description described("Options");
  described.add_options()("help", "print this and exit")(
      "subdir", po::value<std::string>()->value_name("DIR"), "only the images under this folder of SRC")(
      "size", po::value<std::int64_t>()->value_name("S"),
      "pixels, 1 to 16384: every image becomes S x S (default: as they are)")(
      "crop", po::value<std::string>()->value_name("center|none"),
      "cut to the central square first (default: center with --size, else none)")(
      "filter", po::value<std::string>()->default_value("lanczos")->value_name("lanczos|box"),
      "how to resize")("channels", po::value<int>()->value_name("1|3"),
                       "grey or RGB (default: as the first image)")(
      "range", po::value<std::string>()->value_name("LOW,HIGH"),
      "values of floating point data that stand for -1 and 1 (default: smallest and largest)")(
      "force", "replace OUT.h5 if it exists");
  return described;
}

PackOptions pack_options(const po::variables_map& values) {
  const std::vector<std::string> paths = paths_of(values);
  if (paths.size() != 2)
    fail(ExitCode::options, "ganymede dataset pack takes SRC and OUT.h5, {} given: see --help", paths.size());
  PackOptions options{.source = paths[0], .out = paths[1]};
  if (values.count("subdir") != 0) options.subdir = values["subdir"].as<std::string>();
  if (values.count("size") != 0) options.size = values["size"].as<std::int64_t>();
  if (values.count("channels") != 0) options.channels = values["channels"].as<int>();
  if (values.count("range") != 0) options.range = parse_range(values["range"].as<std::string>());
  if (values.count("crop") != 0)
    options.crop = choice("crop", values["crop"].as<std::string>(), {"center", "none"}) == "center"
                       ? Crop::center
                       : Crop::none;
  options.filter = choice("filter", values["filter"].as<std::string>(), {"lanczos", "box"}) == "box"
                       ? Filter::box
                       : Filter::lanczos;
  options.force = values.count("force") != 0;
  return options;
}

void print_report(const PackOptions& options, const PackReport& report) {
  const DatasetDescription& d = report.dataset;
  fmt::print("{}: {} images, {} x {} x {} {}", options.out.string(), d.count, d.channels, d.height, d.width,
             name_of(d.type));
  if (d.type != ElementType::uint8) fmt::print(" in [{}, {}]", d.low, d.high);
  fmt::print(", {:.1f} s, {:.0f} images/s\n", report.seconds, static_cast<double>(d.count) / report.seconds);
  for (const auto& [label, count] : report.labels) {
    const auto k = static_cast<std::size_t>(label);
    const std::string name = label < 0                  ? "no class"
                             : k < d.class_names.size() ? d.class_names[k]
                                                        : "class " + std::to_string(label);
    if (report.labels.size() <= 20) fmt::print("  {:>9} {}\n", count, name);
  }
  if (report.labels.size() > 20)
    fmt::print("  {} classes: see ganymede dataset info\n", report.labels.size());
  for (const auto& [reason, count] : report.skipped) fmt::print("  skipped {} {}\n", count, reason);
  if (report.enlarged > 0) fmt::print("  {} images were smaller and have been enlarged\n", report.enlarged);
}

int pack_command(Words arguments) {
  const po::options_description described = pack_description();
  const po::variables_map values = parse_arguments("dataset pack", described, arguments);
  if (values.count("help") != 0) {
    std::ostringstream help;
    help << described;
    fmt::print(
        "ganymede dataset pack SRC OUT.h5 [options]\n\nPacks a folder, zip or tar of JPEG and PNG images in "
        "class folders, or an .npz file\n(images or arr_0, labels, class_names), into a dataset.\n\n{}",
        help.str());
    return 0;
  }
  const PackOptions options = pack_options(values);
  PackReport report;
  {
    ProgressLine line;
    report = pack(options, [&](const PackProgress& now) {
      line.show(fmt::format("{} of {} images, {:.0f} images/s, {} left", now.done, now.total,
                            now.images_per_second(), duration(now.seconds_left())),
                now.seconds);
    });
  }
  print_report(options, report);
  return 0;
}

}  // namespace

int dataset_command(Words arguments) {
  const std::map<std::string, std::function<int(Words)>> commands{{"pack", pack_command}};
  std::vector<std::string> names;
  for (const auto& [name, command] : commands) names.push_back(name);
  if (arguments.empty())
    fail(ExitCode::options, "ganymede dataset: what to do? One of {}", fmt::join(names, ", "));
  const auto found = commands.find(arguments.front());
  if (found == commands.end()) {
    const std::string meant = nearest(arguments.front(), names);
    fail(ExitCode::options, "ganymede dataset {}: {}one of {}", arguments.front(),
         meant.empty() ? "" : "did you mean " + meant + "? It is ", fmt::join(names, ", "));
  }
  return found->second(arguments.subspan(1));
}

}  // namespace ganymede
