#include "launch/process.h"

#include <ATen/DeviceAccelerator.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "core/signals.h"
#include "distributed/nccl_communicator.h"
#include "launch/device.h"

namespace ganymede {
namespace {

const char* environment(std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (const char* value = std::getenv(name)) return value;
  return nullptr;
}

class ProcessObserver final : public WaitObserver {
 public:
  explicit ProcessObserver(Process& process) : process_(process) {}
  void enter(std::string_view collective, std::int64_t bytes) override { process_.enter(collective, bytes); }
  void leave() override { process_.leave(); }

 private:
  Process& process_;
};

/// For signal handlers and the watchdog's thread.
std::atomic<BlackBox*> box_of_process{nullptr};

void tell_of_signal(int number) {
  if (BlackBox* box = box_of_process.load()) box->signalled(number);
}

bool detach_box(const void* address) {
  BlackBox* box = box_of_process.load();
  return box != nullptr && box->detach(address);
}

}  // namespace

Error as_error(const std::exception& error) {
  if (const auto* ours = dynamic_cast<const Error*>(&error)) return *ours;
  if (const auto* file = dynamic_cast<const std::filesystem::filesystem_error*>(&error))
    return {ExitCode::storage, fmt::format("{}: {}", file->path1().string(), file->code().message())};
  const std::string text = error.what();
  // The CPU's allocator throws a plain c10::Error that only its text tells from others.
  if (dynamic_cast<const std::bad_alloc*>(&error) || dynamic_cast<const c10::OutOfMemoryError*>(&error) ||
      text.find("DefaultCPUAllocator") != std::string::npos)
    return {ExitCode::memory,
            "out of memory: compute fewer images at once (train: lower train.batch or raise "
            "train.accumulate; sample: lower --batch), or start fewer ranks on a machine"};
  // libtorch adds a stack trace to its messages after the first line.
  return {ExitCode::bug, "bug: " + text.substr(0, text.find('\n'))};
}

bool Process::launched_by_mpi() {
  return environment({"OMPI_COMM_WORLD_SIZE", "PMIX_RANK"}) != nullptr;
}

Process::Process() {
  if (launched_by_mpi()) {
    mpi_ = std::make_unique<MpiSession>();
    world_ = mpi_->world();
    observer_ = std::make_unique<ProcessObserver>(*this);
    mpi_->observe(observer_.get());
  } else {
    world_ = make_single_communicator();
  }
}

Process::~Process() {
  if (mpi_) {
    // Finalising waits for all ranks: the watchdog goes last.
    mpi_->observe(nullptr);
    enter("MPI_Finalize");
    world_.reset();
    mpi_.reset();
  }
  watchdog_.reset();
  box_of_process = nullptr;
}

void Process::together(const std::function<void()>& work) {
  std::string failure;
  try {
    work();
  } catch (const std::exception& caught) {
    const Error error = as_error(caught);
    failure = fmt::format("{} {}", static_cast<int>(error.code()), error.what());
  }
  if (world_->agree(failure.empty() ? 0 : 1) == 0) return;
  const auto failures = world_->gather_texts(failure);
  for (int r = 0; r < size(); ++r) {
    const std::string& text = failures[static_cast<std::size_t>(r)];
    if (text.empty()) continue;
    const auto space = text.find(' ');
    const bool is_local = std::ranges::count(failures, text) < size();
    throw AgreedError(static_cast<ExitCode>(std::stoi(text.substr(0, space))), text.substr(space + 1),
                      r == rank(), is_local);
  }
}

std::string Process::from_root(const std::function<std::string()>& work) {
  std::string text;
  together([&] {
    if (is_root()) text = work();
  });
  return world_->broadcast_text(text, 0);
}

std::string Process::from_root_slowly(const std::function<std::string(const Alive& alive)>& work) {
  constexpr std::int64_t over = 0, goes_on = 1;
  std::string text;
  together([&] {
    if (!is_root()) {
      while (world_->agree(over) == goes_on) {
      }
      return;
    }
    std::exception_ptr failure;
    try {
      text = work([&](std::string_view activity) {
        note(activity);
        world_->agree(goes_on);
      });
    } catch (const std::exception&) {
      failure = std::current_exception();
    }
    world_->agree(over);
    if (failure) std::rethrow_exception(failure);
  });
  return world_->broadcast_text(text, 0);
}

void Process::use_device(const std::string& choice, const std::string& option, bool deterministic) {
  RankGpu own;
  together([&] {
    if (choice != "cpu") own = own_gpu(world_->local_rank());
  });
  const auto hosts = world_->gather_texts(own.host), identities = world_->gather_texts(own.identity);
  std::vector<RankGpu> ranks;
  for (std::size_t r = 0; r < hosts.size(); ++r) ranks.push_back({hosts[r], identities[r]});
  together([&] {
    const DeviceDecision decision =
        decide_device({.choice = choice, .option = option, .may_share = may_share_gpu()}, ranks);
    if (!decision.warning.empty() && is_root()) print_error("warning: " + decision.warning);
    if (!decision.cuda) return;
    device_ = {at::kCUDA, static_cast<c10::DeviceIndex>(own.index)};
    at::accelerator::setDeviceIndex(device_.index());
  });
  set_arithmetic({.deterministic = deterministic});
  if (mpi_ && device_.is_cuda())
    prepare_nccl({.rank = rank(), .shared_gpu = may_share_gpu(), .deterministic = deterministic});
}

std::unique_ptr<Communicator> Process::group(const std::string& name) {
  if (!mpi_ || device_.is_cpu()) return world_->duplicate(name);
  return make_nccl_communicator(*mpi_, *world_, name, device_, deadline_);
}

void Process::watch(double seconds) {
  if (seconds <= 0) {
    deadline_ = std::chrono::hours(24 * 365);
    return;
  }
  const auto deadline = std::chrono::milliseconds(std::llround(seconds * 1000));
  // The watchdog comes first: it names the late rank.
  deadline_ = 2 * deadline;
  watched_ = deadline;
  const bool alone = mpi_ == nullptr;
  const auto on_hang = [alone, own_rank = rank()](const HangNotice& hang) {
    constexpr int code = static_cast<int>(ExitCode::hang);
    if (BlackBox* box = box_of_process.load()) box->ended(code, hang.report);
    print_error(hang.report);
    // A late rank goes first, and at once. Of jobs in which it was in MPI_Finalize and others went before it, one in twenty
    // left an mpirun behind that crashed or stayed for ever (Open MPI 4.1.4, PMIx 4.2.2). Of those that wait one aborts.
    const std::chrono::milliseconds patience(300 + 100 * std::min(own_rank, 5));
    if (alone || !hang.is_waiting || outlive_sigterm(patience)) _exit(code);
    end_process(code, [] { MpiSession::abort(code); });
  };
  watchdog_ = std::make_unique<Watchdog>(WatchdogOptions{rank(), size(), deadline, on_hang});
  watchdog_->connect(world_->broadcast_text(watchdog_->address(), 0));
  watchdog_->start();
}

void Process::keep_black_box(const std::filesystem::path& run) {
  const auto failure_of = [](const auto& work) -> std::string {
    try {
      work();
    } catch (const std::exception& caught) {
      return as_error(caught).what();
    }
    return "";
  };
  std::string failure;
  if (is_root()) failure = failure_of([&] { BlackBox::make_room(run); });
  failure = world_->broadcast_text(failure, 0);
  if (failure.empty()) {
    const auto own = failure_of([&] {
      box_ = std::make_unique<BlackBox>(BlackBox::folder(run) / BlackBox::file_name(rank()),
                                        BlackBox::Owner{rank(), size(), watched_});
    });
    for (const std::string& text : world_->gather_texts(own))
      if (failure.empty()) failure = text;
  }
  if (!failure.empty() && is_root())
    print_error(fmt::format("warning: no black box: {}; the run goes on without", failure));
  if (!box_) return;
  box_of_process = box_.get();
  mend_bus_errors(detach_box);
  watch_signals(tell_of_signal);
}

namespace {

void print_line(const std::string& line) {
  // One write a line: lines of several ranks do not mix.
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

/// Ends the whole job because of a failure that only this rank knows of.
ExitCode fail_alone(const Process& process, ExitCode code, const std::string& message) {
  if (process.size() == 1) {
    print_error(message);
    return code;
  }
  // What ails several ranks, a damaged dataset say, is told once: the first ends the job while the others
  // wait.
  std::this_thread::sleep_for(std::chrono::milliseconds(300) * std::min(process.rank(), 3));
  print_error(message, process.rank());
  const int number = static_cast<int>(code);
  end_process(number, [number] { MpiSession::abort(number); });
}

}  // namespace

int run_as_rank(const std::function<ExitCode(Process&)>& body) {
  Process process;
  const auto run = [&] {
    try {
      const ExitCode code = body(process);
      process.ended(code);
      return code;
    } catch (const AgreedError& error) {
      process.ended(error.code(), error.what());
      if (error.is_mine() && error.is_local())
        print_error(error.what(), process.rank());
      else if (error.is_mine())
        print_error(error.what());
      return error.code();
    } catch (const std::exception& caught) {
      const Error error = as_error(caught);
      process.ended(error.code(), error.what());
      return fail_alone(process, error.code(), error.what());
    }
  };
  return static_cast<int>(run());
}

bool prints_to_terminal(std::FILE* stream) {
  return !Process::launched_by_mpi() && isatty(fileno(stream)) != 0;
}

void print_error(const std::string& text) {
  print_line(fmt::format("ganymede: {}\n", text));
}

void print_error(const std::string& text, int rank) {
  print_line(fmt::format("ganymede: rank {} on {}: {}\n", rank, host_name(), text));
}

}  // namespace ganymede
