// mutants [--count N] [--seed S] [--only I] [--originals FOLDER] [KIND...]: gives N damaged files of each kind to their readers, and prints how
// many were refused, read as if nothing had happened, or read otherwise; exits with 1 if one crashed its reader, made a
// sanitizer speak, took longer than ten seconds or much memory, or, where digests exist, was read wrongly. Or writes the
// undamaged files to FOLDER.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <new>
#include <thread>

#include "core/error.h"
#include "tests/fuzz/mutant_kinds.h"
#include "tests/fuzz/mutation.h"
#include "tests/fuzz/sanitizer_reports.h"
#include "tests/fuzz/scratch.h"

namespace ganymede {
namespace {

using Clock = std::chrono::steady_clock;
using Files = std::map<std::string, std::string>;

constexpr std::chrono::seconds longest{10};
constexpr std::int64_t most_memory = std::int64_t{512} << 20;  // of a reader, sanitizers' own included

/// What became of the mutants of one kind, in memory that the process which reads them shares with the one that counts.
struct Tally {
  std::atomic<std::int64_t> next = 0;  ///< the mutant that is read now
  std::atomic<std::int64_t> began = 0; ///< when, by Clock
  std::atomic<std::int64_t> refused = 0, unchanged = 0, different = 0;
  std::atomic<std::int64_t> slowest = 0;  ///< nanoseconds
  std::atomic<std::int64_t> memory = 0;   ///< most bytes of the reader beyond those that it began with, or of a child
};

std::int64_t now() {
  return Clock::now().time_since_epoch().count();
}

/// Of /proc/self/status, in bytes.
std::int64_t status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (std::int64_t kilobytes = 0; word == key + ":" && status >> kilobytes) return kilobytes << 10;
  return 0;
}

Files mutant(const MutantKind& kind, std::uint64_t seed, std::int64_t number) {
  const auto position = static_cast<std::uint64_t>(number);
  Files files = kind.files;
  auto chosen = files.begin();
  std::advance(chosen, position % files.size());
  // Of several files one may also be lost, or be another save's.
  const std::uint64_t fate = position / files.size() % 50;
  if (files.size() > 1 && fate == 0)
    files.erase(chosen);
  else if (files.size() > 1 && fate == 1)
    chosen->second = kind.others.at(chosen->first);
  else
    chosen->second = mutant_of(chosen->second, seed, position);
  return files;
}

void write_files(const std::filesystem::path& folder, const MutantKind& kind, const Files& files) {
  for (const auto& [name, bytes] : kind.files)
    if (!files.contains(name)) std::filesystem::remove(folder / name);
  for (const auto& [name, bytes] : files) put_file(folder / name, std::as_bytes(std::span(bytes)));
}

class Run {
 public:
  Run(const MutantKind& kind, std::uint64_t seed) : kind_(kind), seed_(seed) {
    void* memory = ::mmap(nullptr, sizeof(Tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    tally_ = new (memory) Tally;
    write_files(folder_.path(), kind_, kind_.files);
    expected_ = kind_.read(folder_.path());
  }

  /// Mutants [first, end).
  void run(std::int64_t first, std::int64_t end) {
    tally_->next = first;
    while (tally_->next < end) {
      tally_->began = now();
      const pid_t reader = ::fork();
      if (reader == 0) read_mutants(end);
      int status = 0;
      bool is_late = false;
      while (::waitpid(reader, &status, WNOHANG) == 0) {
        is_late = now() - tally_->began > std::chrono::nanoseconds(longest).count();
        if (is_late) ::kill(reader, SIGKILL);
        std::this_thread::sleep_for(std::chrono::milliseconds(is_late ? 1 : 20));
      }
      if (tally_->next >= end && WIFEXITED(status) && WEXITSTATUS(status) == 0) break;
      ++(is_late ? hangs_ : crashes_);
      tell(is_late ? "took longer than ten seconds" : "ended its reader");
      ++tally_->next;
    }
    read_ = end - first;
  }

  /// One line; whether all is well.
  bool report() const {
    const bool is_well = crashes_ + hangs_ == 0 && (!kind_.has_digests || tally_->different == 0) &&
                         tally_->memory <= most_memory;
    fmt::print("{:16} {:7} {:8} {:10} {:10} {:8} {:6} {:12} {:11.0f} {:9.0f}{}\n", kind_.name, read_, tally_->refused.load(),
               tally_->unchanged.load(), kind_.has_digests ? "-" : fmt::format("{}", tally_->different.load()), crashes_,
               hangs_, kind_.has_digests ? fmt::format("{}", tally_->different.load()) : "-",
               static_cast<double>(tally_->slowest) / 1e6, static_cast<double>(tally_->memory) / (1 << 20),
               is_well ? "" : "  FAILED");
    std::fflush(stdout);
    return is_well;
  }

  static void print_head() {
    fmt::print("{:16} {:>7} {:>8} {:>10} {:>10} {:>8} {:>6} {:>12} {:>11} {:>9}\n", "kind", "mutants", "refused", "unchanged",
               "different", "crashes", "hangs", "wrong", "slowest ms", "most MiB");
  }

 private:
  [[noreturn]] void read_mutants(std::int64_t end) {
    std::ofstream("/proc/self/clear_refs") << 5;  // the peak begins anew
    const std::int64_t before = status_bytes("VmRSS");
    for (std::int64_t i = tally_->next; i < end; tally_->next = ++i) {
      tally_->began = now();
      write_files(folder_.path(), kind_, mutant(kind_, seed_, i));
      try {
        const std::uint64_t found = kind_.read(folder_.path());
        ++(found == expected_ ? tally_->unchanged : tally_->different);
        if (found != expected_ && kind_.has_digests) tell("was read wrongly");
      } catch (const Error&) {
        ++tally_->refused;
      }
      tally_->slowest = std::max(tally_->slowest.load(), now() - tally_->began);
      if (children_were_reported()) std::abort();
    }
    rusage children{};
    ::getrusage(RUSAGE_CHILDREN, &children);
    tally_->memory = std::max(tally_->memory.load(), std::max(status_bytes("VmHWM"), children.ru_maxrss << 10) - before);
    ::_exit(0);
  }

  /// Keeps the mutant being read.
  void tell(const char* what) const {
    const auto kept = std::filesystem::absolute(fmt::format("mutant-{}-{}", kind_.name, tally_->next.load()));
    std::filesystem::create_directories(kept);
    write_files(kept, kind_, mutant(kind_, seed_, tally_->next));
    fmt::print(stderr, "{} {} {}: {}\n", kind_.name, tally_->next.load(), what, kept.string());
  }

  const MutantKind& kind_;
  std::uint64_t seed_;
  ScratchFolder folder_;
  Tally* tally_;
  std::uint64_t expected_ = 0;
  std::int64_t read_ = 0, crashes_ = 0, hangs_ = 0;
};

int write_originals(const std::filesystem::path& folder) {
  for (const MutantKind& kind : mutant_kinds()) {
    std::filesystem::create_directories(folder / kind.name);
    write_files(folder / kind.name, kind, kind.files);
  }
  return 0;
}

int run_all(const std::vector<std::string>& words) {
  std::int64_t count = 300, only = -1;
  std::uint64_t seed = 0;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (!words[i].starts_with("--")) {
      names.push_back(words[i]);
      continue;
    }
    const std::string& word = words.at(i + 1);
    if (words[i] == "--originals") return write_originals(word);
    const std::int64_t value = std::stoll(word);
    if (words[i] == "--count") count = value;
    if (words[i] == "--only") only = value;
    if (words[i] == "--seed") seed = static_cast<std::uint64_t>(value);
    ++i;
  }
  watch_children();
  bool is_well = true;
  Run::print_head();
  for (const MutantKind& kind : mutant_kinds()) {
    if (!names.empty() && std::ranges::find(names, kind.name) == names.end()) continue;
    Run run(kind, seed);
    run.run(only < 0 ? 0 : only, only < 0 ? count : only + 1);
    is_well = run.report() && is_well;
  }
  return is_well ? 0 : 1;
}

}  // namespace
}  // namespace ganymede

int main(int count, char** words) {
  return ganymede::run_all({words + 1, words + count});
}
