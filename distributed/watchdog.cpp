#include "distributed/watchdog.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <system_error>
#include <vector>

#include "core/error.h"

namespace ganymede {
namespace {

using Time = StatusChannel::Time;

// Time in which this process ran. The thread looks often, so a gap longer than a quarter of the deadline
// means that it was stopped or the machine suspended: that time counts for nothing, and the main thread and
// the peers get a quarter of the deadline to show themselves before anybody is blamed.
class AwakeClock {
 public:
  explicit AwakeClock(Time deadline) : longest_gap_(deadline / 4) {}

  Time tick() {
    const auto now = std::chrono::steady_clock::now();
    const auto gap = now - last_;
    last_ = now;
    if (gap <= longest_gap_) {
      awake_ += gap;
    } else {
      grace_end_ = time() + longest_gap_;
    }
    return time();
  }
  bool in_grace() const { return time() < grace_end_; }

 private:
  Time time() const { return std::chrono::duration_cast<Time>(awake_); }

  Time longest_gap_, grace_end_{0};
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::duration awake_{0};
};

template <std::size_t size>
void copy(std::string_view from, std::array<char, size>& to) {
  to = {};
  std::copy_n(from.begin(), std::min(from.size(), size - 1), to.begin());
}

}  // namespace

Watchdog::Watchdog(WatchdogOptions options) : options_(std::move(options)), host_(host_name()) {
  if (!is_on()) return;
  wake_ = Descriptor(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!wake_.is_open())
    fail(ExitCode::peer, "{}: cannot start the watchdog: {}", host_, std::strerror(errno));
  if (options_.rank == 0 && options_.size > 1) {
    server_ = std::make_unique<StatusServer>(options_.size, options_.deadline);
  }
}

Watchdog::~Watchdog() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  eventfd_write(wake_.number(), 1);
  thread_.join();
}

std::string Watchdog::address() const {
  return server_ ? server_->address().text() : "";
}

void Watchdog::connect(const std::string& address) {
  if (!is_on() || options_.rank == 0 || address.empty()) return;
  client_ = std::make_unique<StatusClient>(ChannelAddress::parse(address), options_.rank, options_.deadline);
}

void Watchdog::start() {
  if (!is_on() || thread_.joinable()) return;
  // Signals are for the main thread; a new thread inherits the mask.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { watch(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Watchdog::watch() {
  const Time deadline = options_.deadline;
  const Time tick = std::clamp(deadline / 20, Time(20), Time(250));
  StatusChannel* channel = server_ ? server_.get() : client_.get();
  AwakeClock clock(deadline);
  Progress progress;
  Time marked{0}, told = -deadline;
  bool reported = false;
  std::vector<pollfd> polled;
  while (!stopping_) {
    polled.assign(1, {wake_.number(), POLLIN, 0});
    if (channel) channel->watch(polled);
    for (pollfd& entry : polled) entry.revents = 0;
    ::poll(polled.data(), polled.size(), static_cast<int>(tick.count()));
    const Time now = clock.tick();
    if (const auto seen = board_.read(); seen && seen->marks != progress.marks) {
      progress = *seen;
      marked = now;
      reported = false;
    }
    const RankStatus own = status(progress, now - marked);
    if (channel) channel->handle(std::span(polled).subspan(1), now);
    if (channel && now - told >= StatusChannel::interval(deadline)) {
      channel->tell(own, now);
      told = now;
    }
    if (reported || now - marked < deadline || clock.in_grace()) continue;
    reported = true;
    const auto others = channel ? channel->others(now) : std::vector<SeenRank>{};
    options_.on_hang({hang_report(own, others, deadline), own.waiting != 0});
  }
}

RankStatus Watchdog::status(const Progress& progress, Time unmarked) const {
  RankStatus own;
  own.rank = options_.rank;
  own.pid = getpid();
  own.step = progress.step;
  own.round = progress.round;
  own.sequence = progress.sequence;
  own.in_round = progress.in_round;
  own.unmarked = unmarked.count();
  own.waiting = progress.waiting;
  copy(host_, own.host);
  if (progress.waiting) {
    own.doing = progress.what;
  } else if (progress.activity[0]) {
    own.doing = progress.activity;
  } else {
    copy(progress.sequence ? fmt::format("what follows {}", progress.what.data()) : "start-up", own.doing);
  }
  return own;
}

bool outlive_sigterm(Time time) {
  static std::atomic<bool> has_come;
  has_come = false;
  struct sigaction action {}, before {};
  action.sa_handler = [](int) { has_come = true; };
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, &before);
  constexpr Time slice{10}, grace{50};
  for (Time waited{0}; waited < time && !has_come; waited += slice) std::this_thread::sleep_for(slice);
  if (has_come) std::this_thread::sleep_for(grace);
  sigaction(SIGTERM, &before, nullptr);
  return has_come;
}

void end_process(int code, std::function<void()> abort_job, std::chrono::milliseconds patience) {
  try {
    std::thread(std::move(abort_job)).detach();
  } catch (const std::system_error&) {
    // No thread to be had: leave alone, the launcher ends the others.
  }
  std::this_thread::sleep_for(patience);
  _exit(code);
}

}  // namespace ganymede
