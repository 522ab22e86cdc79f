#include "distributed/socket.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace ganymede {
namespace {

sockaddr_in endpoint(std::uint32_t address, std::uint16_t port) {
  sockaddr_in value{};
  value.sin_family = AF_INET;
  value.sin_addr.s_addr = address;
  value.sin_port = htons(port);
  return value;
}

Descriptor tcp_socket() {
  return Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

bool would_block(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

}  // namespace

Connection::Connection(Descriptor socket) : socket_(std::move(socket)) {
  const int on = 1;
  setsockopt(descriptor(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Connection Connection::begin(const std::string& address, std::uint16_t port) {
  in_addr host{};
  Descriptor socket = tcp_socket();
  if (!socket.is_open() || inet_pton(AF_INET, address.c_str(), &host) != 1) return {};
  const sockaddr_in peer = endpoint(host.s_addr, port);
  const int result = ::connect(socket.number(), reinterpret_cast<const sockaddr*>(&peer), sizeof peer);
  if (result != 0 && errno != EINPROGRESS) return {};
  return Connection(std::move(socket));
}

bool Connection::established() const {
  int error = 0;
  socklen_t size = sizeof error;
  return getsockopt(descriptor(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

bool Connection::receive(std::size_t limit) {
  std::array<char, 4096> buffer;
  while (received_.size() < limit) {
    const ssize_t count =
        ::recv(descriptor(), buffer.data(), std::min(buffer.size(), limit - received_.size()), 0);
    if (count == 0) return false;
    if (count < 0) return would_block(errno);
    received_.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return true;
}

bool Connection::send(std::span<const std::byte> bytes) {
  unsent_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return flush();
}

bool Connection::flush() {
  while (!unsent_.empty()) {
    const ssize_t count = ::send(descriptor(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (count < 0) return would_block(errno);
    unsent_.erase(0, static_cast<std::size_t>(count));
  }
  return true;
}

Listener::Listener() : socket_(tcp_socket()) {
  sockaddr_in here = endpoint(htonl(INADDR_ANY), 0);
  socklen_t size = sizeof here;
  auto* address = reinterpret_cast<sockaddr*>(&here);
  if (!socket_.is_open() || ::bind(descriptor(), address, size) != 0 ||
      ::listen(descriptor(), SOMAXCONN) != 0 || ::getsockname(descriptor(), address, &size) != 0) {
    fail(ExitCode::peer,
         "{}: cannot open a TCP port for the watchdog: {}; --watchdog.seconds 0 does without it", host_name(),
         std::strerror(errno));
  }
  port_ = ntohs(here.sin_port);
}

Listener::Outcome Listener::accept(Connection& connection) const {
  Descriptor socket(::accept4(descriptor(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.is_open()) {
    connection = Connection(std::move(socket));
    return Outcome::accepted;
  }
  const bool full = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
  return full ? Outcome::exhausted : Outcome::none;
}

std::vector<std::string> ipv4_addresses() {
  std::vector<std::string> addresses;
  ifaddrs* interfaces = nullptr;
  if (getifaddrs(&interfaces) != 0) return addresses;
  for (const ifaddrs* i = interfaces; i != nullptr; i = i->ifa_next) {
    if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET) continue;
    if (!(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK)) continue;
    std::array<char, INET_ADDRSTRLEN> text{};
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(i->ifa_addr)->sin_addr, text.data(),
              text.size());
    addresses.emplace_back(text.data());
  }
  freeifaddrs(interfaces);
  return addresses;
}

}  // namespace ganymede
