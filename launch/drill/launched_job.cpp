#include "launch/drill/launched_job.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include "core/error.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds look_pause{10};

[[noreturn]] void become(const std::string& script, const std::vector<std::string>& words, int output) {
  ::setsid();
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // whoever ends the drill ends its job
  const int nothing = ::open("/dev/null", O_RDONLY);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  ::signal(SIGUSR1, SIG_DFL);
  ::signal(SIGPIPE, SIG_DFL);
  std::vector<char*> arguments;
  for (const char* word : {"sh", "-c", script.c_str(), "drill"}) arguments.push_back(const_cast<char*>(word));
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execvp("sh", arguments.data());
  ::_exit(127);
}

}  // namespace

LaunchedJob::LaunchedJob(const std::string& launcher, const std::vector<std::string>& words,
                         const fs::path& output) {
  const int file = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0) fail(ExitCode::storage, "cannot create {}: {}", output.string(), std::strerror(errno));
  // The launcher itself, no shell above it, is whom signals go to.
  const std::string script = "exec " + launcher + " \"$@\"";
  launcher_ = ::fork();
  if (launcher_ == 0) become(script, words, file);
  const int error = errno;
  ::close(file);
  if (launcher_ < 0) fail(ExitCode::memory, "cannot start a process: {}", std::strerror(error));
}

LaunchedJob::~LaunchedJob() {
  look();
  if (ended_) return;
  ::kill(launcher_, SIGKILL);
  ::waitpid(launcher_, nullptr, 0);
}

void LaunchedJob::signal(int number) const {
  if (!ended_) ::kill(launcher_, number);
}

void LaunchedJob::look() {
  int status = 0;
  if (ended_ || ::waitpid(launcher_, &status, WNOHANG) != launcher_) return;
  ended_ = true;
  exit_code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

bool LaunchedJob::wait_until(const std::function<bool()>& condition, Clock::time_point deadline) {
  for (;;) {
    if (condition()) return true;
    look();
    if (ended_) return condition();
    if (Clock::now() > deadline) return false;
    std::this_thread::sleep_for(look_pause);
  }
}

bool LaunchedJob::wait(Clock::time_point deadline) {
  wait_until([] { return false; }, deadline);
  return ended_;
}

std::vector<pid_t> ranks_here(const fs::path& run) {
  std::vector<pid_t> found;
  std::error_code error;
  for (auto entry = fs::directory_iterator("/proc", error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    pid_t pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ptr != name.data() + name.size())
      continue;
    std::ifstream file(entry->path() / "cmdline");
    std::vector<std::string> words;
    for (std::string word; std::getline(file, word, '\0');) words.push_back(word);
    if (words.size() > 2 && words[1] == "train" && std::ranges::find(words, run.string()) != words.end())
      found.push_back(pid);
  }
  return found;
}

}  // namespace ganymede
