#include "datasets/guarded_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <new>

#include "core/descriptor.h"
#include "core/error.h"

namespace ganymede {
namespace {

constexpr char succeeded = 'S';  // otherwise the first byte of the answer is an exit code

/// Both ends of a pipe.
struct Pipe {
  Descriptor read_end, write_end;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) fail(ExitCode::memory, "cannot open a pipe: {}", std::strerror(errno));
    read_end = Descriptor(ends[0]);
    write_end = Descriptor(ends[1]);
  }
};

void enter_cage(const GuardLimits& limits) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTERM, SIGINT, SIGXCPU})
    ::signal(signal, SIG_DFL);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  std::int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const auto bytes = static_cast<rlim_t>(pages * ::sysconf(_SC_PAGESIZE) + limits.memory);
  const rlimit memory{bytes, bytes};
  ::setrlimit(RLIMIT_AS, &memory);
  const auto seconds = static_cast<rlim_t>(limits.processor.count());
  const rlimit processor{seconds, seconds + 1};
  ::setrlimit(RLIMIT_CPU, &processor);
  // What malloc or a sanitizer says on its way down would not help the user.
  const int nowhere = ::open("/dev/null", O_WRONLY);
  ::dup2(nowhere, STDOUT_FILENO);
  ::dup2(nowhere, STDERR_FILENO);
}

std::string answer_of(const std::function<std::string()>& work) {
  try {
    return succeeded + work();
  } catch (const Error& error) {
    return static_cast<char>(error.code()) + std::string(error.what());
  }
}

[[noreturn]] void run_child(int write_end, const GuardLimits& limits,
                            const std::function<std::string()>& work) {
  int status = EXIT_FAILURE;
  try {
    enter_cage(limits);
    const std::string answer = answer_of(work);
    std::size_t sent = 0;
    while (sent < answer.size()) {
      const ssize_t count = ::write(write_end, answer.data() + sent, answer.size() - sent);
      if (count < 0 && errno != EINTR) ::_exit(EXIT_FAILURE);
      sent += count > 0 ? static_cast<std::size_t>(count) : 0;
    }
    status = EXIT_SUCCESS;
  } catch (...) {
  }
  ::_exit(status);  // not exit(): what this process registered to run at its end is the parent's to run
}

/// All that comes through the pipe, or false when the deadline passes first.
bool receive(int read_end, std::chrono::steady_clock::time_point deadline, std::string& answer) {
  std::array<char, 65536> buffer;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd waiting{read_end, POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(left.count())) <= 0) continue;
    const ssize_t count = ::read(read_end, buffer.data(), buffer.size());
    if (count == 0) return true;
    if (count > 0) answer.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

std::string run_guarded(const std::string& subject, const GuardLimits& limits,
                        const std::function<std::string()>& work) {
  Pipe pipe;
  const auto deadline = std::chrono::steady_clock::now() + limits.time;
  const pid_t child = ::fork();
  if (child < 0)
    fail(ExitCode::memory, "cannot start a process to inspect {}: {}", subject, std::strerror(errno));
  if (child == 0) run_child(pipe.write_end.number(), limits, work);
  pipe.write_end = Descriptor();
  std::string answer;
  const bool in_time = receive(pipe.read_end.number(), deadline, answer);
  if (!in_time) ::kill(child, SIGKILL);
  const int status = wait_for(child);
  constexpr const char* remedy = "the file is probably damaged; restore it from a copy or pack it anew";
  if (!in_time)
    fail(ExitCode::dataset, "{}: not understood within {:.1f} s: {}", subject,
         static_cast<double>(limits.time.count()) / 1000, remedy);
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
    fail(ExitCode::dataset, "{}: not understood within {} s of computing: {}", subject, limits.processor.count(), remedy);
  if (WIFSIGNALED(status))
    fail(ExitCode::dataset, "{}: reading its metadata crashed ({}): {}", subject,
         ::strsignal(WTERMSIG(status)), remedy);
  if (WEXITSTATUS(status) != EXIT_SUCCESS || answer.empty())
    fail(ExitCode::dataset, "{}: its metadata ask for too much memory or make no sense: {}", subject, remedy);
  if (answer.front() != succeeded) throw Error(static_cast<ExitCode>(answer.front()), answer.substr(1));
  return answer.substr(1);
}

}  // namespace ganymede
