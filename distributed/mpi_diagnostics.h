#pragma once

#include <cstdint>
#include <string>

namespace ganymede {

// What MPI itself tells, beside the communicator: `ganymede doctor` asks.

/// "Open MPI v4.1.4": of the library that is loaded. Needs no session.
std::string mpi_version();

/// How two ranks reach each other.
struct LinkTime {
  double latency = 0;           ///< seconds of a message of eight bytes, one way
  double bytes_per_second = 0;  ///< of messages of many bytes, one way
};

/// Sends messages of `bytes` (at least 8) to the rank `peer` and back, as many as `budget` seconds allow, and at most
/// `most` of each size; gives half the median. Both ranks of a pair call it at once, with each other's number, one of
/// them as the one that leads: it alone gets times, the other zeros. Needs a session; the watchdog ends it where the
/// peer does not answer. Throws Error(peer).
LinkTime measure_link(int peer, bool leads, std::int64_t bytes, double budget, int most);

}  // namespace ganymede
