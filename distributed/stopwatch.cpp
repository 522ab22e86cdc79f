#include "distributed/stopwatch.h"

#include <c10/core/impl/VirtualGuardImpl.h>

namespace ganymede {

c10::Stream Stopwatch::stream() const {
  return c10::impl::VirtualGuardImpl(device_.type()).getStream(device_);
}

void Stopwatch::start() {
  if (device_.is_cpu()) {
    start_ = stop_ = Clock::now();
    return;
  }
  constexpr auto timed = c10::EventFlag::BACKEND_DEFAULT;
  events_.emplace(Events{c10::Event(device_.type(), timed), c10::Event(device_.type(), timed)});
  events_->start.record(stream());
}

void Stopwatch::stop() {
  if (device_.is_cpu())
    stop_ = Clock::now();
  else if (events_)
    events_->stop.record(stream());
}

double Stopwatch::seconds() const {
  if (device_.is_cpu()) return std::chrono::duration<double>(stop_ - start_).count();
  if (!events_ || !events_->stop.was_marked_for_recording()) return 0;
  events_->stop.synchronize();
  return events_->start.elapsedTime(events_->stop) / 1000;  // from milliseconds
}

}  // namespace ganymede
