#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/descriptor.h"
#include "core/host_name.h"

namespace ganymede {

/// A TCP connection that never blocks. Errors close nothing by themselves: a call answers false, and the
/// owner drops it.
class Connection {
 public:
  Connection() = default;
  /// Takes over a connected socket.
  explicit Connection(Descriptor socket);
  /// Begins to connect to a dotted IPv4 address; is_open() is false if that fails at once.
  static Connection begin(const std::string& address, std::uint16_t port);

  bool is_open() const { return socket_.is_open(); }
  int descriptor() const { return socket_.number(); }
  /// After poll() found a begun connection writable: whether it stands.
  bool established() const;
  /// Takes in what has come, until `limit` bytes are held. False when the peer closed or the link broke.
  bool receive(std::size_t limit);
  /// What has come and was not dropped from the front by the owner.
  std::string& received() { return received_; }
  /// Adds bytes to those that wait to be sent, and sends what the system takes. False when the link broke.
  bool send(std::span<const std::byte> bytes);
  bool flush();
  bool has_unsent() const { return !unsent_.empty(); }

 private:
  Descriptor socket_;
  std::string received_, unsent_;
};

/// A TCP port on every IPv4 address of this host, at a number that the system chooses.
class Listener {
 public:
  /// Throws Error(peer).
  Listener();
  int descriptor() const { return socket_.number(); }
  std::uint16_t port() const { return port_; }
  enum class Outcome { accepted, none, exhausted };
  /// Accepts one connection if one waits. `exhausted`: no descriptor or memory is left for it; try again
  /// later.
  Outcome accept(Connection& connection) const;

 private:
  Descriptor socket_;
  std::uint16_t port_ = 0;
};

/// The dotted IPv4 addresses of the interfaces that are up, without loopback.
std::vector<std::string> ipv4_addresses();

}  // namespace ganymede
