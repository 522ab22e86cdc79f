#include "launch/drill/rehearsal.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "core/files.h"
#include "datasets/dataset_writer.h"
#include "launch/drill/launched_job.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

constexpr const char* undisturbed_name = "undisturbed";
constexpr std::int64_t images = 64, side = 32, classes = 10;
// Ranks that are not gone by then, or by the watchdog's deadline, stay.
constexpr std::chrono::seconds patience{15};

constexpr Fault table[] = {
    {"kill", "SIGKILL to one rank, as when a host runs out of memory", Strike::kill, 128 + SIGKILL,
     "a batch script requeues on 128+n and cannot tell this code from others: add it to slurm/ranks.sh"},
    {"stop", "SIGSTOP to one rank: a hang, which the watchdog ends", Strike::stop, 86,
     "the launcher hides the watchdog's exit code, on which a batch script requeues: add this one to "
     "slurm/ranks.sh"},
    {"usr1", "SIGUSR1 to the launcher, as before a job's time limit: the run saves and ends", std::nullopt,
     75,
     "the launcher does not pass SIGUSR1 on, or hides its ranks' exit code: srun and mpirun do; of scripts "
     "around "
     "them the last line must be exec"},
    {"full-disk", "no file grows any more: checkpoints fail, the last good one stays", Strike::full, 5,
     "the launcher hides the exit code of a full disk, on which nothing is requeued"},
};

void write_dataset(const fs::path& path) {
  std::vector<std::byte> pixels(static_cast<std::size_t>(images * side * side));
  std::vector<std::int64_t> labels(static_cast<std::size_t>(images));
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const std::size_t image = i / (side * side), row = i / side % side, column = i % side;
    pixels[i] = static_cast<std::byte>(((row + 1) * (image % classes + 1) + column * 7 + image * 13) % 256);
  }
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int64_t>(i) % classes;
  DatasetWriter writer(path, {.count = images, .channels = 1, .height = side, .width = side});
  writer.write_images(0, pixels);
  writer.write_labels(labels);
  writer.finish();
}

/// The step of the last "resuming at step N of M" in a text; -1 where it does not say.
std::int64_t resumed_step(const std::string& text) {
  constexpr std::string_view words = "resuming at step ";
  const std::size_t found = text.rfind(words);
  return found == std::string::npos ? -1 : std::atoll(text.c_str() + found + words.size());
}

/// What a job's exit code says of a drill that it ends.
ExitCode code_of(int exit_code) {
  const bool is_ours =
      exit_code >= static_cast<int>(ExitCode::options) && exit_code <= static_cast<int>(ExitCode::diverged);
  return is_ours ? static_cast<ExitCode>(exit_code) : ExitCode::peer;
}

std::string ending(const Outcome& outcome) {
  return fmt::format("exit {}, all ranks of this host gone after {:.1f} s", outcome.exit_code,
                     outcome.seconds);
}

}  // namespace

std::span<const Fault> faults() {
  return table;
}

Verdict judge(const Fault& fault, const Outcome& outcome, const fs::path& log) {
  if (!outcome.struck)
    return failure(
        ExitCode::peer,
        fmt::format("the run ended with {} before it came: give more --steps; what it said is in {}",
                    outcome.exit_code, log.string()));
  if (!outcome.ended)
    return failure(
        ExitCode::hang,
        fmt::format("the job was still there after {:.0f} s, and was ended: its ranks do not end together; "
                    "give srun --kill-on-bad-exit=0 --wait=60, as slurm/ranks.sh does, or mpirun; "
                    "what it said is in {}",
                    outcome.seconds, log.string()));
  if (!outcome.left.empty())
    return failure(
        ExitCode::hang,
        fmt::format("exit {}, and processes {} outlived the launcher by {} s, and were ended: let Slurm "
                    "track them (ProctrackType=proctrack/cgroup), or use mpirun",
                    outcome.exit_code, fmt::join(outcome.left, ", "), patience.count()));
  if (outcome.resumed_code != 0)
    return failure(ExitCode::checkpoint,
                   fmt::format("{}; the same command again did not go on, but ended with {}: {} tells why",
                               ending(outcome), outcome.resumed_code, log.string()));
  const std::string resumed =
      outcome.resumed_from >= 0 ? fmt::format("resumed from step {}", outcome.resumed_from) : "began anew";
  if (!outcome.equal)
    return failure(ExitCode::diverged,
                   fmt::format("{}; {}, and its end is another than an undisturbed run's: give all jobs "
                               "the same ranks, threads and kind of processor",
                               ending(outcome), resumed));
  const std::string text = fmt::format("{}; {}, its end equal bit by bit", ending(outcome), resumed);
  if (outcome.exit_code != fault.exit_code)
    return warning(fmt::format("{}; {} was expected: {}", text, fault.exit_code, fault.remedy));
  return all_well(text);
}

Rehearsal::Rehearsal(DrillRequest request)
    : request_(std::move(request)), program_(fs::read_symlink("/proc/self/exe").string()) {
  create_folders(request_.out);
  write_dataset(folder("data.h5"));
}

Rehearsal::Clock::time_point Rehearsal::deadline() const {
  return Clock::now() + std::chrono::milliseconds(static_cast<std::int64_t>(1000 * request_.limit));
}

std::vector<std::string> Rehearsal::training(const std::string& name) const {
  std::vector<std::string> words{program_,
                                 "train",
                                 "--recipe",
                                 "biggan-digits",
                                 "--data",
                                 folder("data.h5").string(),
                                 "--out",
                                 folder(name).string(),
                                 "--biggan.generator_channels",
                                 "2",
                                 "--biggan.discriminator_channels",
                                 "2",
                                 "--train.threads",
                                 "1",
                                 "--train.batch",
                                 "64",
                                 "--sample.every",
                                 "0",
                                 "--log.every",
                                 "1",
                                 "--checkpoint.minutes",
                                 "0",
                                 "--checkpoint.retry_seconds",
                                 "0"};
  const auto add = [&](const std::string& option, const auto& value) {
    words.push_back("--" + option);
    words.push_back(fmt::format("{}", value));
  };
  add("steps", request_.steps);
  add("checkpoint.every", std::max<std::int64_t>(1, request_.steps / 6));
  add("train.device", request_.device);
  if (request_.device != "cpu") add("train.deterministic", true);
  return words;
}

std::vector<std::string> Rehearsal::training_to_be_struck(const std::string& name, Strike strike) const {
  std::vector<std::string> words = training(name);
  const std::string place[] = {"drill", "strike", std::string(name_of(strike)),
                               std::to_string(request_.steps / 2), folder(name).string()};
  words.insert(words.begin() + 1, std::begin(place), std::end(place));
  // Only where a hang is to be waited for: else a busy machine would be taken for one.
  if (strike == Strike::stop)
    words.insert(words.end(), {"--watchdog.seconds", fmt::format("{}", request_.watchdog_seconds)});
  return words;
}

Verdict Rehearsal::undisturbed() {
  const auto begin = Clock::now();
  LaunchedJob job(request_.launcher, training(undisturbed_name), log(undisturbed_name));
  const bool ended = job.wait(deadline());
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  if (!ended)
    return failure(
        ExitCode::hang,
        fmt::format("not done after {:.0f} s: raise --limit, or see what ganymede doctor says; its "
                    "output is in {}",
                    seconds, log(undisturbed_name).string()));
  if (job.exit_code() != 0)
    return failure(code_of(job.exit_code()),
                   fmt::format("'{}' ended with {}: {} tells why", request_.launcher, job.exit_code(),
                               log(undisturbed_name).string()));
  return all_well(
      fmt::format("{} steps in {:.1f} s, started with '{}'", request_.steps, seconds, request_.launcher));
}

void Rehearsal::strike(const Fault& fault, Outcome& outcome) {
  const fs::path run = folder(fault.name);
  LaunchedJob job(request_.launcher,
                  fault.strike ? training_to_be_struck(fault.name, *fault.strike) : training(fault.name),
                  log(fault.name));
  const auto due = [&] {
    return fault.strike ? size_of_file(struck_mark(run)).has_value() : logged_step(run) >= request_.steps / 2;
  };
  outcome.struck = job.wait_until(due, deadline()) && !(job.has_ended() && job.exit_code() == 0);
  const auto begin = Clock::now();
  if (!fault.strike) job.signal(SIGUSR1);
  outcome.ended = job.wait(deadline());
  outcome.exit_code = job.exit_code();
  const auto gone_by = Clock::now() + patience;
  while (!ranks_here(run).empty() && outcome.ended && Clock::now() < gone_by)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  outcome.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  for (const pid_t rank : ranks_here(run)) {
    outcome.left.push_back(rank);
    ::kill(rank, SIGKILL);
  }
}

void Rehearsal::resume(const Fault& fault, Outcome& outcome) {
  LaunchedJob job(request_.launcher, training(fault.name), log(fault.name));
  if (!job.wait(deadline())) return;
  outcome.resumed_code = job.exit_code();
  outcome.resumed_from = resumed_step(read_text_file(log(fault.name), std::int64_t{64} << 20));
}

bool Rehearsal::ends_equal(const std::string& name) const {
  LaunchedJob job("",
                  {program_, "checkpoint", "diff", folder(undisturbed_name).string(), folder(name).string()},
                  log(name));
  return job.wait(deadline()) && job.exit_code() == 0;
}

Verdict Rehearsal::run(const Fault& fault) {
  Outcome outcome;
  strike(fault, outcome);
  if (outcome.struck && outcome.ended) resume(fault, outcome);
  if (outcome.resumed_code == 0) outcome.equal = ends_equal(fault.name);
  return judge(fault, outcome, log(fault.name));
}

}  // namespace ganymede
