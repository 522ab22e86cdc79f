// Kills a save, and lets it fail, at every single call that changes the disk; and watches that what a power
// loss could undo is synced before anything is built on it.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <map>
#include <optional>
#include <set>

#include "core/checkpoint_store.h"
#include "core/error.h"
#include "core/files.h"
#include "tests/core/saved_checkpoint.h"
#include "tests/core/temporary_folder.h"

namespace {

enum class Fault { none, kill, error };
Fault fault = Fault::none;
int calls_left = 0;
int interruptions_left = 0;  ///< of fsync and close

/// True if this call must fail. A write is torn: half of it arrives before the fault.
bool strike(int descriptor = -1, const void* bytes = nullptr, std::size_t size = 0) {
  if (fault == Fault::none || --calls_left > 0) return false;
  if (bytes != nullptr) ::syscall(SYS_write, descriptor, bytes, size / 2);
  if (fault == Fault::kill) ::_exit(137);
  fault = Fault::none;  // the clearing up that follows is left in peace
  errno = ENOSPC;
  return true;
}

/// True if a signal interrupts this call.
bool interrupt() {
  if (interruptions_left == 0) return false;
  --interruptions_left;
  errno = EINTR;
  return true;
}

/// Paths with changes that a power loss could undo: files written, and folders whose names changed.
struct Unsynced {
  std::set<std::string> paths;
  std::vector<std::string> breaches;

  static std::string path_of(int descriptor) {
    return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(descriptor));
  }
  static std::string parent_of(const std::string& path) { return std::filesystem::path(path).parent_path(); }
  /// `action` relies on `path` and all below it.
  void require_synced(const std::string& path, const std::string& action) {
    for (const std::string& unsynced : paths)
      if (unsynced == path || unsynced.starts_with(path + "/")) breaches.push_back(action + ": " + unsynced);
  }
};
std::optional<Unsynced> watched;

}  // namespace

// These take the place of the C library's in this program, for itself and for the libraries it loads.
extern "C" {
ssize_t write(int descriptor, const void* bytes, std::size_t size) {
  if (watched) watched->paths.insert(watched->path_of(descriptor));
  return strike(descriptor, bytes, size) ? -1 : ::syscall(SYS_write, descriptor, bytes, size);
}
int fsync(int descriptor) {
  if (interrupt()) return -1;
  if (watched) watched->paths.erase(watched->path_of(descriptor));
  return strike() ? -1 : static_cast<int>(::syscall(SYS_fsync, descriptor));
}
int close(int descriptor) {
  const auto result = static_cast<int>(::syscall(SYS_close, descriptor));
  return interrupt() ? -1 : result;
}
int rename(const char* from, const char* to) noexcept {
  if (watched) {
    watched->require_synced(from, std::string("rename to ") + to);
    watched->paths.insert(watched->parent_of(to));
  }
  return strike() ? -1 : static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}
int mkdir(const char* path, mode_t mode) noexcept {
  if (watched) watched->paths.insert(watched->parent_of(path));
  return strike() ? -1 : static_cast<int>(::syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}
int unlink(const char* path) noexcept {
  return strike() ? -1 : static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  // A name above what is removed must not come back: those below the store are two deep.
  if (watched && (flags & AT_REMOVEDIR) == 0)
    watched->require_synced(watched->parent_of(watched->path_of(folder)), std::string("removal of ") + path);
  return strike() ? -1 : static_cast<int>(::syscall(SYS_unlinkat, folder, path, flags));
}
int open(const char* path, int flags, ...) {
  std::va_list arguments;
  va_start(arguments, flags);
  const int mode = (flags & O_CREAT) != 0 ? va_arg(arguments, int) : 0;
  va_end(arguments);
  if ((flags & O_CREAT) != 0 && strike()) return -1;
  if ((flags & O_CREAT) != 0 && watched) watched->paths.insert(watched->parent_of(path));
  return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}
}

namespace ganymede {
namespace {

enum class Ended { unharmed, in_spite_of_it, killed, failed };

/// Saves step `step` in a child process that meets `what` at its `call`-th call.
Ended save_in_child(const std::filesystem::path& folder, std::int64_t step, double value, Fault what,
                    int call) {
  const NamedTensors tensors = some_tensors(value);
  const pid_t child = ::fork();
  if (child == 0) {
    calls_left = call;
    fault = what;
    try {
      save({folder, 2}, step, tensors, 2);
    } catch (const Error& error) {
      ::_exit(static_cast<int>(error.code()));
    }
    ::_exit(fault == what ? 0 : 99);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  const std::map<int, Ended> endings = {
      {0, Ended::unharmed}, {99, Ended::in_spite_of_it}, {137, Ended::killed}, {5, Ended::failed}};
  const auto found = endings.find(WEXITSTATUS(status));
  EXPECT_NE(found, endings.end()) << WEXITSTATUS(status);
  return found == endings.end() ? Ended::failed : found->second;
}

/// What a resume finds: the newest checkpoint that verifies.
std::pair<std::int64_t, NamedTensors> newest_in(const std::filesystem::path& folder) {
  for (const std::filesystem::path& checkpoint : CheckpointStore(folder, 2).list()) {
    try {
      return {read_manifest(checkpoint).step, restore(checkpoint)};
    } catch (const Error&) {
      continue;
    }
  }
  return {-1, {}};
}

/// Strikes at call 1, 2, ... until a save of `step` over checkpoints 10 and 20 gets through unharmed. After
/// each the newest that loads must be the old or the new one, and a next save must succeed and leave nothing
/// else behind.
int strike_everywhere(Fault what, std::int64_t step) {
  for (int call = 1;; ++call) {
    SCOPED_TRACE(call);
    const TemporaryFolder folder;
    save({folder.path(), 2}, 10, some_tensors(1), 2);
    save({folder.path(), 2}, 20, some_tensors(2), 3);
    const Ended ended = save_in_child(folder.path(), step, 3, what, call);
    const auto [found, tensors] = newest_in(folder.path());
    const bool is_old = found == 20 && bitwise_equal(tensors, some_tensors(2));
    const bool is_new = found == step && bitwise_equal(tensors, some_tensors(3));
    const bool is_saved = ended == Ended::unharmed || ended == Ended::in_spite_of_it;
    EXPECT_TRUE(is_new || (is_old && !is_saved)) << "found step " << found;
    save({folder.path(), 2}, 40, some_tensors(4), 1);
    EXPECT_EQ(newest_in(folder.path()).first, 40);
    for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
      EXPECT_TRUE(step_of(entry.path()) && *step_of(entry.path()) >= 10) << entry.path();
    EXPECT_EQ(CheckpointStore(folder.path(), 2).list().size(), 2u);
    if (ended == Ended::unharmed || testing::Test::HasFailure()) return call - 1;
  }
}

TEST(CheckpointCrash, ANewStepSurvivesAKillAtEveryCall) {
  EXPECT_GT(strike_everywhere(Fault::kill, 30), 20);
}

TEST(CheckpointCrash, AReplacedStepSurvivesAKillAtEveryCall) {
  EXPECT_GT(strike_everywhere(Fault::kill, 20), 20);
}

TEST(CheckpointCrash, ANewStepSurvivesAFailureOfEveryCall) {
  EXPECT_GT(strike_everywhere(Fault::error, 30), 20);
}

TEST(CheckpointCrash, AReplacedStepSurvivesAFailureOfEveryCall) {
  EXPECT_GT(strike_everywhere(Fault::error, 20), 20);
}

TEST(CheckpointCrash, NothingIsBuiltOnWhatAPowerLossUndoes) {
  const TemporaryFolder folder;
  watched.emplace();
  for (const int step : {1, 2, 3, 3, 2, 4})
    save({folder / "run/checkpoints", 2}, step, some_tensors(step), 2);
  const Unsynced seen = *std::exchange(watched, std::nullopt);
  EXPECT_EQ(seen.breaches, std::vector<std::string>());
  EXPECT_EQ(seen.paths, std::set<std::string>()) << "when publish() returns, all is durable";
}

TEST(CheckpointCrash, SignalsDoNotFailAFlushOrAClose) {
  const TemporaryFolder folder;
  File file = File::create(folder / "file");
  file.write("x");
  interruptions_left = 2;
  file.sync();
  EXPECT_EQ(interruptions_left, 0);
  interruptions_left = 1;
  file.close();
  EXPECT_EQ(interruptions_left, 0);
}

}  // namespace
}  // namespace ganymede
