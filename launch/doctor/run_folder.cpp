#include "core/run_folder.h"

#include <unistd.h>

#include <chrono>
#include <thread>

#include "core/files.h"
#include "launch/doctor/checks.h"
#include "launch/text.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t trial_bytes = 16 << 20, least_space = std::int64_t{1} << 30;
// Network file systems show a new name within seconds.
constexpr std::chrono::seconds patience{10};

void remove_quietly(const fs::path& path) {
  std::error_code ignored;
  fs::remove(path, ignored);  // of a folder only an empty one
}

/// The folder as a run takes it, and as it was before once this is gone.
class TriedFolder {
 public:
  explicit TriedFolder(const fs::path& folder) : folder_(folder) {
    std::error_code ignored;
    for (fs::path path = fs::absolute(folder).lexically_normal();
         !fs::exists(path, ignored) && path.has_relative_path(); path = path.parent_path())
      made_.push_back(path);
    for (const char* name : {".lock", "samples", "checkpoints"})
      if (!fs::exists(folder / name, ignored)) made_.insert(made_.begin(), folder / name);
    try {
      run_ = std::make_unique<RunFolder>(folder);
    } catch (...) {
      remove_made();
      throw;
    }
  }
  TriedFolder(const TriedFolder&) = delete;
  TriedFolder& operator=(const TriedFolder&) = delete;
  ~TriedFolder() { remove_made(); }

 private:
  void remove_made() {
    for (const fs::path& path : made_) remove_quietly(path);
    run_.reset();
  }
  fs::path folder_;
  std::vector<fs::path> made_;  ///< the innermost first
  std::unique_ptr<RunFolder> run_;
};

/// A file that goes with its object.
class TrialFile {
 public:
  explicit TrialFile(fs::path path) : path_(std::move(path)) {}
  TrialFile(const TrialFile&) = delete;
  TrialFile& operator=(const TrialFile&) = delete;
  ~TrialFile() {
    remove_quietly(path_);
    remove_quietly(unfinished());
  }
  const fs::path& path() const { return path_; }

  /// Writes, flushes and renames it. Seconds.
  double write(std::int64_t bytes) const {
    const auto begin = Clock::now();
    const std::vector<std::byte> content(static_cast<std::size_t>(bytes), std::byte{0x5a});
    File file = File::create(unfinished());
    file.write(content);
    file.sync();
    file.close();
    rename_durably(unfinished(), path_);
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }

 private:
  fs::path unfinished() const { return path_.string() + ".part"; }
  fs::path path_;
};

bool appears(const fs::path& path) {
  const auto deadline = Clock::now() + patience;
  std::error_code ignored;
  while (!fs::exists(path, ignored)) {
    if (Clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

/// All ranks' files come and go here.
Verdict try_files(ExaminedJob& job) {
  Process& process = job.process();
  const fs::path& out = job.request().out;
  const std::string name = process.from_root(
      [&] { return fmt::format(".doctor-{}-{}", ::getpid(), Clock::now().time_since_epoch().count()); });
  const TrialFile common(out / name), own(out / fmt::format("{}-{}", name, process.rank()));
  process.together([&] {
    if (process.is_root()) common.write(1);
  });
  process.note("doctor: looking for rank 0's file in the run folder");
  const auto see_common = [&] {
    if (!appears(common.path()))
      fail(ExitCode::storage,
           "{}, which rank 0 has written, is not there: name a folder on a file system that every host "
           "mounts at "
           "the same place, by its full path",
           common.path().string());
  };
  if (auto failed = job.failures_of(see_common)) return *failed;
  process.note("doctor: writing, flushing and renaming a file in the run folder");
  double seconds = 0;
  if (auto failed = job.failures_of([&] { seconds = own.write(trial_bytes); })) return *failed;
  process.note("doctor: looking for all ranks' files in the run folder");
  const auto see_all = [&] {
    for (int rank = 0; rank < process.size() && process.is_root(); ++rank)
      if (const fs::path path = out / fmt::format("{}-{}", name, rank); !appears(path))
        fail(ExitCode::storage, "{}, which {} has written, is not there within {} s", path.string(),
             job.place(rank), patience.count());
  };
  if (auto failed = job.failures_of(see_all)) return *failed;
  const std::vector<double> all = job.gather(seconds);
  const auto slowest = std::ranges::max_element(all);
  return all_well(
      fmt::format("{} written, flushed and renamed by each rank in {:.3g} s at most ({}), seen by all",
                  byte_text(trial_bytes), *slowest, job.place(static_cast<int>(slowest - all.begin()))));
}

}  // namespace

Verdict examine_run_folder(ExaminedJob& job) {
  Process& process = job.process();
  if (job.request().out.empty()) return skipped("--out DIR has the run folder tried");
  std::unique_ptr<TriedFolder> folder;
  process.together([&] {
    if (process.is_root()) folder = std::make_unique<TriedFolder>(job.request().out);
  });
  Verdict verdict = try_files(job);
  process.world().barrier();  // a folder goes when it is empty
  if (verdict.state != Verdict::State::ok) return verdict;
  const std::int64_t space = std::stoll(process.from_root([&] {
    std::error_code unknown;
    return std::to_string(static_cast<std::int64_t>(fs::space(job.request().out, unknown).available));
  }));
  verdict.text += space < 0 ? "" : fmt::format("; {} free", byte_text(space));
  if (space < 0 || space >= least_space) return verdict;
  return warning(verdict.text + ": a checkpoint may not fit: free space there, or choose another folder");
}

}  // namespace ganymede
