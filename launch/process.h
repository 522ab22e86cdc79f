#pragma once

#include <cstdio>
#include <functional>
#include <memory>

#include "core/error.h"
#include "distributed/black_box.h"
#include "distributed/mpi.h"
#include "distributed/watchdog.h"

namespace ganymede {

/// An error that all ranks know of: each throws it, the one it belongs to prints it, and all leave with its
/// code.
class AgreedError : public Error {
 public:
  /// `is_local`: it came about on one rank, or differently on several, so that rank and host say where.
  AgreedError(ExitCode code, const std::string& message, bool is_mine, bool is_local = false)
      : Error(code, message), is_mine_(is_mine), is_local_(is_local) {}
  bool is_mine() const { return is_mine_; }
  bool is_local() const { return is_local_; }

 private:
  bool is_mine_, is_local_;
};

/// What a caught exception means to the user: an Error as it is; a lack of memory; a file that cannot be
/// reached (storage); anything else a bug.
Error as_error(const std::exception& error);

/// This process among the ranks of its job: MPI where a launcher started it, alone otherwise.
class Process {
 public:
  Process();
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  /// Whether mpirun or srun --mpi=pmix started this process as one of several; known without MPI.
  static bool launched_by_mpi();

  Communicator& world() { return *world_; }
  int rank() const { return world_->rank(); }
  int size() const { return world_->size(); }
  bool is_root() const { return rank() == 0; }

  /// Runs `work` on every rank; if any throws, all throw that of the lowest such rank, as as_error()
  /// gives it. Collective.
  void together(const std::function<void()>& work);
  /// Runs `work` on rank 0 and returns its text on all. Collective.
  std::string from_root(const std::function<std::string()>& work);
  /// The same of work that may take longer than the watchdog waits: it calls `alive` with what it does now and then, which
  /// all ranks then take for progress. Collective.
  using Alive = std::function<void(std::string_view activity)>;
  std::string from_root_slowly(const std::function<std::string(const Alive& alive)>& work);

  /// Chooses what this rank computes on, and how (launch/device.h); until then it is the host. `option` is the
  /// one that gave `choice`. Collective.
  void use_device(const std::string& choice, const std::string& option, bool deterministic);
  at::Device device() const { return device_; }
  /// A group of all ranks for tensors on device(), and on the host too; world() takes host tensors only.
  /// Collective.
  std::unique_ptr<Communicator> group(const std::string& name);

  /// Starts the watchdog: after `seconds` without progress the job ends with 86. Collective. 0 = off.
  void watch(double seconds);
  /// From now on each rank keeps its last events in a black box below the folder of this run (BlackBox), also those of
  /// signals. What cannot be had costs a warning. Collective; after watch().
  void keep_black_box(const std::filesystem::path& run);

  // What watchdog and black box, if there are any, learn of this rank.

  /// That it goes on and with what.
  void note(std::string_view activity) {
    if (watchdog_) watchdog_->note(activity);
    if (box_) box_->note(activity);
  }
  /// At the begin of each step, on every rank.
  void begin_step(std::int64_t step) {
    if (watchdog_) watchdog_->set_step(step);
    if (box_) box_->set_step(step);
  }
  /// Around a wait that every rank enters (Watchdog::enter); those for collectives tell of themselves.
  void enter(std::string_view what, std::int64_t bytes = 0) {
    if (watchdog_) watchdog_->enter(what);
    if (box_) box_->enter(what, bytes);
  }
  void leave() {
    if (watchdog_) watchdog_->leave();
    if (box_) box_->leave();
  }
  /// That this step's checkpoint is there.
  void saved(std::int64_t step) {
    if (box_) box_->saved(step);
  }
  /// The last of it: the exit code, and the line that the user got.
  void ended(ExitCode code, std::string_view words = {}) {
    if (box_) box_->ended(static_cast<int>(code), words);
  }

 private:
  std::unique_ptr<MpiSession> mpi_;
  std::unique_ptr<Communicator> world_;
  at::Device device_ = at::kCPU;
  std::chrono::milliseconds deadline_ = std::chrono::minutes(5);
  std::chrono::milliseconds watched_{0};
  std::unique_ptr<BlackBox> box_;
  std::unique_ptr<Watchdog> watchdog_;
  std::unique_ptr<WaitObserver> observer_;
};

/// Runs a command's body as one of the job's ranks and returns the exit code, the same on every rank. An
/// AgreedError ends all ranks in order. Any other error is known to this rank alone while the others wait for
/// it in a collective: it is printed, and the whole job is ended with its code; this call then does not
/// return.
int run_as_rank(const std::function<ExitCode(Process&)>& body);

/// Whether `stream` is a person's terminal. mpirun gives its ranks a terminal of its own, whatever its output
/// goes to: under it nothing counts as one.
bool prints_to_terminal(std::FILE* stream);

/// Prints one line to standard error: "ganymede: text", or "ganymede: rank r on host: text".
void print_error(const std::string& text);
void print_error(const std::string& text, int rank);

}  // namespace ganymede
