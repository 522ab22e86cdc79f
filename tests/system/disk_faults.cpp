// Loaded before the C library (LD_PRELOAD), it numbers every call by which a process changes what lies below a folder,
// and strikes at one of them: kills the process, or lets the call fail. What it does comes from the environment:
//
//     DISK_FAULTS_WHERE    part of the paths that count, e.g. "/checkpoints"
//     DISK_FAULTS_RANK     of which of mpirun's ranks; without it, of every process
//     DISK_FAULTS_LOG      a file that gets one line a call, "write /run/checkpoints/..."
//     DISK_FAULTS_AT       number of the call that is struck, the first is 1; without it none is
//     DISK_FAULTS_TIMES    how many calls from that one on are struck (1); a kill needs no more
//     DISK_FAULTS_ERRNO    what they fail with, as a number; without it the process is killed
//     DISK_FAULTS_DELAY    instead of that: milliseconds that they take longer
//
// A write that is struck is torn: half of its bytes arrive.

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

std::atomic<long> calls{0};

long number(const char* name, long otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::atol(value) : otherwise;
}

struct Settings {
  const char* where = std::getenv("DISK_FAULTS_WHERE");
  const char* log = std::getenv("DISK_FAULTS_LOG");
  long at = number("DISK_FAULTS_AT", 0), times = number("DISK_FAULTS_TIMES", 1), error = number("DISK_FAULTS_ERRNO", 0);
  long delay = number("DISK_FAULTS_DELAY", 0);
  bool is_on = where != nullptr && is_ours();

  static bool is_ours() {
    const char* rank = std::getenv("DISK_FAULTS_RANK");
    const char* own = std::getenv("OMPI_COMM_WORLD_RANK");
    return rank == nullptr || (own != nullptr && std::strcmp(rank, own) == 0);
  }
};

const Settings& settings() {
  static const Settings all;
  return all;
}

std::string path_of(int descriptor) {
  char path[PATH_MAX];
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  const long length = ::syscall(SYS_readlinkat, AT_FDCWD, link.c_str(), path, sizeof path);
  return length > 0 ? std::string(path, static_cast<std::size_t>(length)) : "";
}

std::string path_at(int folder, const char* path) {
  return path[0] == '/' || folder == AT_FDCWD ? path : path_of(folder) + "/" + path;
}

void note(const char* call, const std::string& path) {
  if (settings().log == nullptr) return;
  const auto file = static_cast<int>(
      ::syscall(SYS_openat, AT_FDCWD, settings().log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  const std::string line = std::string(call) + " " + path + "\n";
  ::syscall(SYS_write, file, line.data(), line.size());
  ::syscall(SYS_close, file);
}

/// Counts the call. True if it must fail, with errno set.
bool strike(const char* call, const std::string& path, int descriptor = -1, const void* bytes = nullptr,
            std::size_t size = 0) {
  const Settings& all = settings();
  if (!all.is_on || path.find(all.where) == path.npos) return false;
  const long own = ++calls;
  note(call, path);
  if (all.at == 0 || own < all.at || own >= all.at + all.times) return false;
  if (all.delay > 0) {
    ::usleep(static_cast<useconds_t>(1000 * all.delay));
    return false;
  }
  if (bytes != nullptr) ::syscall(SYS_write, descriptor, bytes, size / 2);
  if (all.error == 0) ::syscall(SYS_kill, ::getpid(), SIGKILL);
  errno = static_cast<int>(all.error);
  return true;
}

int opened(int folder, const char* path, int flags, int mode) {
  if ((flags & O_CREAT) != 0 && strike("open", path_at(folder, path))) return -1;
  return static_cast<int>(::syscall(SYS_openat, folder, path, flags, mode));
}

}  // namespace

extern "C" {

ssize_t write(int descriptor, const void* bytes, std::size_t size) {
  if (settings().is_on && strike("write", path_of(descriptor), descriptor, bytes, size)) return -1;
  return ::syscall(SYS_write, descriptor, bytes, size);
}
int fsync(int descriptor) {
  return strike("fsync", path_of(descriptor)) ? -1 : static_cast<int>(::syscall(SYS_fsync, descriptor));
}
int rename(const char* from, const char* to) noexcept {
  return strike("rename", to) ? -1 : static_cast<int>(::syscall(SYS_rename, from, to));
}
int mkdir(const char* path, mode_t mode) noexcept {
  return strike("mkdir", path) ? -1 : static_cast<int>(::syscall(SYS_mkdir, path, mode));
}
int unlink(const char* path) noexcept {
  return strike("unlink", path) ? -1 : static_cast<int>(::syscall(SYS_unlink, path));
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  return strike("unlinkat", path_at(folder, path)) ? -1
                                                   : static_cast<int>(::syscall(SYS_unlinkat, folder, path, flags));
}
int rmdir(const char* path) noexcept {
  return strike("rmdir", path) ? -1 : static_cast<int>(::syscall(SYS_rmdir, path));
}
int remove(const char* path) noexcept {
  if (::unlink(path) == 0) return 0;
  return errno == EISDIR ? ::rmdir(path) : -1;
}
int open(const char* path, int flags, ...) {
  std::va_list arguments;
  va_start(arguments, flags);
  const int mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, int) : 0;
  va_end(arguments);
  return opened(AT_FDCWD, path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  std::va_list arguments;
  va_start(arguments, flags);
  const int mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, int) : 0;
  va_end(arguments);
  return opened(AT_FDCWD, path, flags, mode);
}
}
