#include "launch/drill/strike.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/error.h"
#include "core/files.h"
#include "core/run_folder.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t longest_log = 64 << 20;
constexpr useconds_t watch_pause = 5000;  // microseconds

/// A number that a launcher tells its ranks; -1 where none of these does.
int number_of(std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (const char* value = std::getenv(name)) return std::atoi(value);
  return -1;
}

bool is_last_rank() {
  const int rank = number_of({"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID"});
  const int size = number_of({"OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"});
  return rank < 0 || size < 0 ? rank <= 0 : rank == size - 1;
}

void strike_process(Strike strike, pid_t rank) {
  if (strike == Strike::kill) ::kill(rank, SIGKILL);
  if (strike == Strike::stop) ::kill(rank, SIGSTOP);
  if (strike != Strike::full) return;
  const rlimit limit{static_cast<rlim_t>(strike_bytes), static_cast<rlim_t>(strike_bytes)};
  ::prlimit(rank, RLIMIT_FSIZE, &limit, nullptr);
}

/// Lets go of all that the launcher waits for, and of the signals that it sends its ranks.
void step_aside() {
  for (const int signal : {SIGUSR1, SIGUSR2, SIGPIPE}) ::signal(signal, SIG_IGN);
  const int nowhere = ::open("/dev/null", O_RDWR);
  for (int descriptor = 0; descriptor < 3; ++descriptor) ::dup2(nowhere, descriptor);
  for (int descriptor = 3; descriptor < 1024; ++descriptor) ::close(descriptor);
}

[[noreturn]] void watch_and_strike(Strike strike, std::int64_t step, const fs::path& run, pid_t rank) {
  step_aside();
  while (::getppid() == rank) {
    if (logged_step(run) >= step) {
      const int mark = ::open(struck_mark(run).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
      if (mark >= 0) ::close(mark);
      strike_process(strike, rank);
      break;
    }
    ::usleep(watch_pause);
  }
  ::_exit(0);
}

}  // namespace

std::string_view name_of(Strike strike) {
  switch (strike) {
    case Strike::kill:
      return "kill";
    case Strike::stop:
      return "stop";
    default:
      return "full";
  }
}

Strike strike_named(std::string_view name) {
  for (const Strike strike : {Strike::kill, Strike::stop, Strike::full})
    if (name == name_of(strike)) return strike;
  fail(ExitCode::options, "drill strike '{}': kill, stop or full", name);
}

fs::path struck_mark(const fs::path& run) {
  return run.string() + ".struck";
}

std::int64_t logged_step(const fs::path& run) {
  std::string text;
  try {
    text = read_text_file(run / RunFolder::log_name, longest_log);
  } catch (const Error&) {
    return -1;  // not there yet
  }
  const std::size_t end = text.rfind('\n');
  if (end == std::string::npos) return -1;
  const std::size_t before = end == 0 ? std::string::npos : text.rfind('\n', end - 1);
  const std::size_t begin = before == std::string::npos ? 0 : before + 1;
  const nlohmann::json line = nlohmann::json::parse(text.substr(begin, end - begin), nullptr, false);
  return line.is_object() ? line.value("step", std::int64_t{-1}) : -1;
}

void run_to_be_struck(std::span<const std::string> arguments) {
  if (arguments.size() < 4)
    fail(ExitCode::options, "ganymede drill strike KIND STEP RUN COMMAND ...: {} given", arguments.size());
  const Strike strike = strike_named(arguments[0]);
  const std::int64_t step = std::atoll(arguments[1].c_str());
  const fs::path run = arguments[2];
  const pid_t rank = ::getpid();
  // A file that grows too long then is an error of the write, as a full disk is; exec keeps what is ignored.
  if (strike == Strike::full) ::signal(SIGXFSZ, SIG_IGN);
  if (strike == Strike::full || is_last_rank()) {
    const pid_t child = ::fork();
    if (child == 0) watch_and_strike(strike, step, run, rank);
    if (child < 0) fail(ExitCode::memory, "cannot start a process: {}", std::strerror(errno));
  }
  const std::string program = fs::read_symlink("/proc/self/exe").string();
  std::vector<char*> words{const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments.subspan(3))
    words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  ::execv(program.c_str(), words.data());
  fail(ExitCode::bug, "cannot start {}: {}", program, std::strerror(errno));
}

}  // namespace ganymede
