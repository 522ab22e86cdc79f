#include "distributed/mpi_diagnostics.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "distributed/mpi_exchange.h"

namespace ganymede {
namespace {

using Clock = std::chrono::steady_clock;

// Above those of MpiExchange.
constexpr int link_tag = 32700;

void wait_for_request(MPI_Request request) {
  int complete = 0;
  for (int spins = 0; !complete; ++spins) {
    check_mpi(MPI_Test(&request, &complete, MPI_STATUS_IGNORE), "MPI_Test");
    if (spins > 500) sched_yield();
  }
}

/// Messages between this rank and another. The first byte of each says whether one more round follows.
class LinkEnd {
 public:
  LinkEnd(int peer, std::int64_t bytes) : peer_(peer), bytes_(static_cast<std::size_t>(bytes)) {}

  /// Seconds of messages one way: half the median round trip.
  double lead(double budget, int most) {
    round_trip(true);  // what goes first opens the connection
    const auto begin = Clock::now();
    std::vector<double> seconds;
    for (bool more = true; more;) {
      const auto sent = Clock::now();
      more = static_cast<int>(seconds.size()) + 1 < most &&
             std::chrono::duration<double>(sent - begin).count() < budget;
      round_trip(more);
      seconds.push_back(std::chrono::duration<double>(Clock::now() - sent).count());
    }
    std::ranges::sort(seconds);
    return seconds[(seconds.size() - 1) / 2] / 2;
  }

  void follow() {
    do {
      receive();
      send();
    } while (bytes_.front() != 0);
  }

 private:
  void round_trip(bool more) {
    bytes_.front() = more ? 1 : 0;
    send();
    receive();
  }
  void send() {
    MPI_Request request;
    check_mpi(MPI_Isend(bytes_.data(), static_cast<int>(bytes_.size()), MPI_BYTE, peer_, link_tag,
                        MPI_COMM_WORLD, &request),
              "MPI_Isend");
    wait_for_request(request);
  }
  void receive() {
    MPI_Request request;
    check_mpi(MPI_Irecv(bytes_.data(), static_cast<int>(bytes_.size()), MPI_BYTE, peer_, link_tag,
                        MPI_COMM_WORLD, &request),
              "MPI_Irecv");
    wait_for_request(request);
  }

  int peer_;
  std::vector<unsigned char> bytes_;
};

}  // namespace

std::string mpi_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::string version(text, static_cast<std::size_t>(length));
  // What follows the name tells of its packager.
  return version.substr(0, version.find_first_of(",\n"));
}

LinkTime measure_link(int peer, bool leads, std::int64_t bytes, double budget, int most) {
  LinkEnd small(peer, 8), large(peer, bytes);
  if (!leads) {
    small.follow();
    large.follow();
    return {};
  }
  const double latency = small.lead(budget, most);
  return {latency, static_cast<double>(bytes) / large.lead(budget, most)};
}

}  // namespace ganymede
