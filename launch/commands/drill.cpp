#include <fmt/ranges.h>
#include <unistd.h>

#include <sstream>
#include <thread>

#include "core/files.h"
#include "launch/command_line.h"
#include "launch/commands.h"
#include "launch/drill/rehearsal.h"
#include "launch/drill/requeue.h"
#include "launch/process.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

constexpr const char* usage =
    R"(usage: ganymede drill --out DIR [--launcher "mpirun -n 2"] [OPTION ...]

Rehearses what may happen to a run, in minutes: starts small trainings through the launcher, has each of the faults
below come over one, starts it again, and compares its end bit by bit with that of a run to which nothing happened.
Start it alone, on a machine of the cluster or in a batch script. A line tells of each fault the launcher's exit code,
the seconds until its ranks were gone, and the step from which it went on. The exit code is that of the first failure,
or 0.

)";

const std::vector<Flag> flags{
    {"out", "DIR", "a new folder, on a file system that every host of the job sees"},
    {"launcher", "COMMAND", "what starts the ranks, as in a batch script [mpirun on --ranks ranks]"},
    {"ranks", "N", "of mpirun [2]"},
    {"faults", "NAME,...", "only these [all]"},
    {"requeue", "", "in a Slurm job, put this very job back into the queue in the end"},
    {"device", "auto|cpu|cuda", "what computes [cpu]"},
    {"steps", "N", "of each training; the fault comes after half of them [60]"},
    {"watchdog.seconds", "S", "without progress until the watchdog ends the job that `stop` comes over [5]"},
    {"limit", "S", "that one job may take [300]"},
    {"help", "", "this text"},
};

struct Request {
  DrillRequest drill;
  std::vector<const Fault*> faults;
  bool requeue = false;
};

std::string default_launcher(std::int64_t ranks) {
  std::string text = fmt::format("mpirun -n {} --bind-to none", ranks);
  if (std::thread::hardware_concurrency() < ranks) text += " --oversubscribe";
  if (::geteuid() == 0) text += " --allow-run-as-root";
  return text;
}

std::vector<const Fault*> chosen_faults(const CommandLine& line) {
  std::vector<const Fault*> chosen;
  std::vector<std::string> names;
  for (const Fault& fault : faults()) {
    names.emplace_back(fault.name);
    if (!line.has("faults")) chosen.push_back(&fault);
  }
  std::istringstream given(line.value("faults"));
  for (std::string name; std::getline(given, name, ',');) {
    const auto found = std::ranges::find(names, name);
    if (found == names.end())
      fail(ExitCode::options, "--faults: there is no fault '{}': give some of {}", name,
           fmt::join(names, ", "));
    chosen.push_back(&faults()[static_cast<std::size_t>(found - names.begin())]);
  }
  return chosen;
}

Request read_request(const CommandLine& line) {
  if (!line.positional.empty()) fail(ExitCode::options, "unexpected argument '{}'", line.positional.front());
  if (line.has("launcher") && line.has("ranks"))
    fail(ExitCode::options, "--launcher says how many ranks there are: leave --ranks out");
  if (Process::launched_by_mpi())
    fail(ExitCode::options,
         "a drill starts its ranks itself: start it without mpirun or srun, and give those as --launcher");
  Request request;
  DrillRequest& drill = request.drill;
  drill.out = fs::absolute(line.required("out", "a new folder")).lexically_normal();
  drill.steps = line.integer("steps", drill.steps, {12, 1e6});
  drill.launcher = line.value("launcher", default_launcher(line.integer("ranks", 2, {1, 1e5})));
  OptionSchema schema;
  schema.add("--device", drill.device, {"auto", "cpu", "cuda"}, "");
  schema.add("--watchdog.seconds", drill.watchdog_seconds, "s", {1, 1e4}, "");
  schema.add("--limit", drill.limit, "s", {10, 1e6}, "");
  Settings given;
  for (const char* name : {"device", "watchdog.seconds", "limit"})
    if (line.has(name)) given[fmt::format("--{}", name)] = {line.value(name), "command line"};
  schema.apply(given);
  request.faults = chosen_faults(line);
  request.requeue = line.has("requeue");
  return request;
}

/// The table, as far as it has come.
class Table {
 public:
  void add(std::string_view name, const Verdict& verdict) {
    tally_.add(verdict);
    print(verdict_line(name, verdict));
  }
  /// Goes on with that of an earlier start.
  void take_over(const DrillRecord& record) {
    for (const std::string& line : record.lines) print(line);
    earlier_ = record.code;
  }
  ExitCode code() const { return earlier_ != ExitCode::done ? earlier_ : tally_.code(); }
  DrillRecord record() const { return {lines_, code(), 0}; }

 private:
  void print(const std::string& line) {
    lines_.push_back(line);
    fmt::print("{}", line);
    std::fflush(stdout);
  }
  std::vector<std::string> lines_;
  Tally tally_;
  ExitCode earlier_ = ExitCode::done;
};

void rehearse(const Request& request, Table& table) {
  std::error_code ignored;
  if (fs::exists(request.drill.out, ignored) && !fs::is_empty(request.drill.out, ignored))
    fail(ExitCode::storage, "{} is not empty: name a new folder", request.drill.out.string());
  Rehearsal rehearsal(request.drill);
  const Verdict undisturbed = rehearsal.undisturbed();
  table.add("undisturbed", undisturbed);
  const bool is_comparable = undisturbed.state == Verdict::State::ok;
  constexpr const char* nothing = "there is nothing to compare with";
  for (const Fault* fault : request.faults)
    table.add(fault->name, is_comparable ? rehearsal.run(*fault) : skipped(nothing));
  const std::string why_not = is_comparable ? no_requeue_because(request.requeue) : nothing;
  table.add("requeue", why_not.empty() ? requeue(request.drill.out, table.record()) : skipped(why_not));
}

std::string help() {
  std::string text = usage + flag_help(flags) + "\nfaults:\n";
  for (const Fault& fault : faults()) text += fmt::format("  {:<12} {}\n", fault.name, fault.help);
  return text + fmt::format("  {:<12} {}\n", "requeue",
                            "scontrol requeue of this job, with --requeue: its next start goes on");
}

}  // namespace

int drill_command(std::span<const std::string> arguments) {
  if (!arguments.empty() && arguments.front() == "strike") run_to_be_struck(arguments.subspan(1));
  const CommandLine line = parse_command_line(arguments, flags, {});
  if (line.has("help")) {
    fmt::print("{}", help());
    return 0;
  }
  const Request request = read_request(line);
  Table table;
  if (const auto record = read_record(request.drill.out)) {
    table.take_over(*record);
    forget_record(request.drill.out);
    table.add("requeue", after_requeue(*record));
  } else {
    rehearse(request, table);
  }
  if (table.code() != ExitCode::done)
    fail(table.code(), "not all of it was survived: the table says what, and what helps; the runs are in {}",
         request.drill.out.string());
  return 0;
}

}  // namespace ganymede
