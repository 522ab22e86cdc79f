#include "launch/commands.h"
#include "launch/doctor/checks.h"
#include "launch/flag_command.h"
#include "launch/threads.h"

namespace ganymede {
namespace {

constexpr const char* usage =
    R"(usage: ganymede doctor [--data F.h5 ...] [--out DIR] [OPTION ...]
       mpirun -n RANKS ganymede doctor ...

What to know before a long run, in seconds: started as the run will be, it prints a line for each check. The exit code
is that of the first that failed, or 0; warnings leave it as it is. Nothing stays in DIR.

)";

const std::vector<Flag> flags{
    {"data", "F.h5 ...", "dataset, one file or several as one", true},
    {"out", "DIR", "run folder; it need not be there yet"},
    {"device", "auto|cpu|cuda", "what the run will compute on [auto]"},
    {"slow", "FACTOR",
     "times the median of the ranks, from which on one counts as slow; of two the faster is the median "
     "[1.5]"},
    {"watchdog.seconds", "S", "without progress until the job ends with 86, 0 for never [120]"},
    {"help", "", "this text"},
};

DoctorRequest read_request(const CommandLine& line) {
  if (!line.positional.empty()) fail(ExitCode::options, "unexpected argument '{}'", line.positional.front());
  DoctorRequest request;
  if (line.has("data")) {
    const auto& data = line.flags.at("data");
    request.data.assign(data.begin(), data.end());
  }
  request.out = line.value("out");
  OptionSchema schema;
  schema.add("--device", request.device, {"auto", "cpu", "cuda"}, "");
  schema.add("--slow", request.slow, "", {1, 1000}, "");
  schema.add("--watchdog.seconds", request.watchdog_seconds, "s", {0, 1e6}, "");
  Settings given;
  for (const char* name : {"device", "slow", "watchdog.seconds"})
    if (line.has(name)) given[fmt::format("--{}", name)] = {line.value(name), "command line"};
  schema.apply(given);
  return request;
}

std::string help() {
  std::string text = usage + flag_help(flags) + "\nchecks:\n";
  for (const Check& check : doctor_checks()) text += fmt::format("  {:<12} {}\n", check.name, check.help);
  return text;
}

Verdict verdict_of(const Check& check, ExaminedJob& job) {
  job.process().note(fmt::format("doctor: {}", check.name));
  try {
    return check.run(job);
  } catch (const AgreedError& error) {
    return failure(error);
  }
}

ExitCode examine(Process& process, const DoctorRequest& request) {
  process.watch(request.watchdog_seconds);
  set_threads(process, 0);
  ExaminedJob job(process, request);
  Tally tally;
  for (const Check& check : doctor_checks()) {
    const Verdict verdict = verdict_of(check, job);
    tally.add(verdict);
    if (!process.is_root()) continue;
    // At once: where the next check hangs, these lines tell where.
    fmt::print("{}", verdict_line(check.name, verdict));
    std::fflush(stdout);
  }
  if (tally.code() != ExitCode::done) throw AgreedError(tally.code(), tally.complaint(), process.is_root());
  return ExitCode::done;
}

}  // namespace

int doctor_command(std::span<const std::string> arguments) {
  return run_flag_command(arguments, flags, help, read_request, examine);
}

}  // namespace ganymede
