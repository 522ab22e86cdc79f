#include "distributed/status_channel.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/random.h>

#include <algorithm>
#include <cstring>
#include <sstream>

#include "core/error.h"

namespace ganymede {
namespace {

using Time = StatusChannel::Time;
using Token = ChannelAddress::Token;

// What travels: structures as they lie in memory, each begun by the token.
struct StatusMessage {
  Token token;
  RankStatus status;
};

// As few rows as a report can name, so that a thousand ranks cost rank 0 no more than some MB/s.
struct AnswerMessage {
  static constexpr std::size_t most_suspects = 8;
  Token token;
  std::uint64_t count;
  SeenRank root;
  std::array<SeenRank, most_suspects> suspects;
};
static_assert(std::has_unique_object_representations_v<StatusMessage> &&
              std::has_unique_object_representations_v<AnswerMessage>);

// Takes the same time wherever the first difference lies.
bool same(const Token& a, const Token& b) {
  return ((a[0] ^ b[0]) | (a[1] ^ b[1])) == 0;
}

template <class Message>
bool send(Connection& connection, const Message& message) {
  return connection.send(std::as_bytes(std::span(&message, 1)));
}

// Hands each whole message to `act`. False when the peer is gone or said something that does not begin with
// the token.
template <class Message, class Act>
bool receive(Connection& connection, const Token& token, Act act) {
  // A few at a time; what is left is found by the next poll().
  const bool alive = connection.receive(16 * sizeof(Message));
  std::string& bytes = connection.received();
  std::size_t used = 0;
  for (;; used += sizeof(Message)) {
    Message message;
    const std::size_t left = bytes.size() - used;
    if (left < sizeof token) break;
    std::memcpy(&message, bytes.data() + used, std::min(left, sizeof message));
    if (!same(message.token, token)) return false;
    if (left < sizeof message) break;
    if (!act(message)) return false;
  }
  bytes.erase(0, used);
  return alive;
}

pollfd entry(const Connection& connection, bool writing) {
  return {connection.descriptor(), static_cast<short>(writing ? POLLIN | POLLOUT : POLLIN), 0};
}

Token random_token() {
  Token token{};
  if (getrandom(token.data(), sizeof token, 0) != sizeof token) {
    fail(ExitCode::peer, "{}: no random bytes for the watchdog's token: {}", host_name(),
         std::strerror(errno));
  }
  return token;
}

}  // namespace

Time StatusChannel::interval(Time deadline) {
  return std::clamp(deadline / 20, Time(50), Time(1000));
}

std::string ChannelAddress::text() const {
  return fmt::format("{} {} {:016x}{:016x} {}", host, port, token[0], token[1], fmt::join(ipv4, ","));
}

ChannelAddress ChannelAddress::parse(const std::string& text) {
  ChannelAddress address;
  std::istringstream fields(text);
  std::string token, list;
  if (!(fields >> address.host >> address.port >> token >> list) || token.size() != 32 ||
      token.find_first_not_of("0123456789abcdef") != std::string::npos) {
    fail(ExitCode::peer, "'{}' is not a watchdog's address: pass on what rank 0 gave", text);
  }
  address.token = {std::stoull(token.substr(0, 16), nullptr, 16), std::stoull(token.substr(16), nullptr, 16)};
  std::istringstream addresses(list);
  for (std::string one; std::getline(addresses, one, ',');) address.ipv4.push_back(one);
  return address;
}

StatusServer::StatusServer(int size, Time deadline)
    : deadline_(deadline), rows_(static_cast<std::size_t>(size)) {
  address_ = {host_name(), listener_.port(), random_token(), ipv4_addresses()};
  address_.ipv4.push_back("127.0.0.1");
  for (std::size_t rank = 0; rank < rows_.size(); ++rank) rows_[rank].status.rank = static_cast<int>(rank);
}

void StatusServer::watch(std::vector<pollfd>& polled) {
  polled.push_back({full_until_ ? -1 : listener_.descriptor(), POLLIN, 0});
  for (const Peer& peer : peers_) polled.push_back(entry(peer.connection, peer.connection.has_unsent()));
}

void StatusServer::handle(std::span<const pollfd> polled, Time now) {
  for (std::size_t i = 0; i < peers_.size(); ++i) {
    Peer& peer = peers_[i];
    const short events = polled[i + 1].revents;
    bool alive = true;
    if (events & POLLOUT) alive = peer.connection.flush();
    if (alive && (events & (POLLIN | POLLERR | POLLHUP))) alive = listen_to(peer, now);
    if (peer.rank < 0 && now - peer.since > Time(2000)) alive = false;
    if (!alive) drop(peer);
  }
  std::erase_if(peers_, [](const Peer& peer) { return !peer.connection.is_open(); });
  if (full_until_ && now >= *full_until_) full_until_.reset();
  if (polled[0].revents & POLLIN) accept(now);
}

void StatusServer::accept(Time now) {
  for (Connection connection;;) {
    const Listener::Outcome outcome = listener_.accept(connection);
    if (outcome == Listener::Outcome::none) return;
    // The port stays readable while connections wait: look away for a while, or the thread would spin.
    // Strangers are dropped meanwhile.
    if (outcome == Listener::Outcome::exhausted || peers_.size() > 2 * rows_.size() + 64) {
      full_until_ = now + Time(1000);
      return;
    }
    peers_.push_back({std::move(connection), now, -1, ++numbers_});
    connection = {};
  }
}

bool StatusServer::listen_to(Peer& peer, Time now) {
  return receive<StatusMessage>(peer.connection, address_.token, [&](const StatusMessage& message) {
    const int rank = message.status.rank;
    if (rank < 1 || rank >= static_cast<int>(rows_.size()) || (peer.rank >= 0 && peer.rank != rank))
      return false;
    Row& row = rows_[static_cast<std::size_t>(rank)];
    // Words still on the way in a connection that its rank has replaced are older than what is known.
    if (row.link == Link::open && row.peer > peer.number) return false;
    peer.rank = rank;
    row = {message.status, now, Link::open, peer.number};
    return true;
  });
}

void StatusServer::drop(Peer& peer) {
  if (peer.rank >= 0) {
    Row& row = rows_[static_cast<std::size_t>(peer.rank)];
    if (row.peer == peer.number) row.link = Link::closed;
  }
  peer.connection = {};
}

void StatusServer::tell(const RankStatus& own, Time now) {
  rows_[0] = {own, now, Link::open, 0};
  AnswerMessage answer{};
  answer.token = address_.token;
  answer.root = {own, 0, Link::open};
  const std::vector<SeenRank> suspects = others(now);
  answer.count = std::min(suspects.size(), AnswerMessage::most_suspects);
  std::copy_n(suspects.begin(), answer.count, answer.suspects.begin());
  for (Peer& peer : peers_) {
    // Who does not read gets nothing more until it does: its backlog stays one message.
    if (peer.rank < 0 || peer.connection.has_unsent()) continue;
    if (!send(peer.connection, answer)) drop(peer);
  }
  std::erase_if(peers_, [](const Peer& peer) { return !peer.connection.is_open(); });
}

std::vector<SeenRank> StatusServer::others(Time now) const {
  std::vector<SeenRank> seen;
  for (std::size_t rank = 1; rank < rows_.size(); ++rank) {
    seen.push_back({rows_[rank].status, (now - rows_[rank].heard).count(), rows_[rank].link});
  }
  sort_by_suspicion(seen, deadline_);
  return seen;
}

StatusClient::StatusClient(ChannelAddress address, int rank, Time deadline)
    : address_(std::move(address)),
      deadline_(deadline),
      patience_(std::max(4 * interval(deadline), std::min(deadline / 4, Time(5000)))),
      backoff_(interval(deadline)) {
  // On rank 0's own host loopback goes first (it works with every interface down); elsewhere it would lead to
  // oneself.
  auto& ipv4 = address_.ipv4;
  const auto loopback = std::find(ipv4.begin(), ipv4.end(), "127.0.0.1");
  if (loopback != ipv4.end()) {
    if (address_.host == host_name()) {
      std::rotate(ipv4.begin(), loopback, loopback + 1);
    } else if (ipv4.size() > 1) {
      ipv4.erase(loopback);
    }
  }
  own_.rank = rank;
  std::strncpy(root_.status.host.data(), address_.host.c_str(), root_.status.host.size() - 1);
}

void StatusClient::watch(std::vector<pollfd>& polled) {
  polled.push_back(entry(connection_, state_ == State::connecting || connection_.has_unsent()));
}

void StatusClient::handle(std::span<const pollfd> polled, Time now) {
  const short events = polled[0].revents;
  bool alive = true;
  if (state_ == State::connecting && events) {
    alive = connection_.established();
    if (alive) {
      state_ = State::up;
      alive = send(connection_, StatusMessage{address_.token, own_});
    }
  } else if (state_ == State::up) {
    if (events & POLLOUT) alive = connection_.flush();
    if (alive && (events & (POLLIN | POLLERR | POLLHUP))) alive = listen(now);
  }
  if (!alive) broken(now);
  // A link whose other end vanished looks alive for minutes: try a new one.
  if (state_ != State::down && now - std::max(begun_, answered_) > patience_) retry(now);
  if (state_ == State::down && now >= next_try_) connect(now);
}

void StatusClient::connect(Time now) {
  connection_ = Connection::begin(address_.ipv4[target_ % address_.ipv4.size()], address_.port);
  begun_ = now;
  state_ = State::connecting;
  if (!connection_.is_open()) retry(now);
}

// The other end closed it, or refuses: rank 0 is gone, where a silent one may be stopped.
void StatusClient::broken(Time now) {
  if (link_ == Link::open) link_ = Link::closed;
  retry(now);
}

void StatusClient::retry(Time now) {
  connection_ = {};
  state_ = State::down;
  next_try_ = now;
  if (++target_ % address_.ipv4.size() != 0) return;
  next_try_ = now + backoff_;
  backoff_ = std::min(2 * backoff_, patience_);
}

bool StatusClient::listen(Time now) {
  return receive<AnswerMessage>(connection_, address_.token, [&](const AnswerMessage& answer) {
    if (answer.count > AnswerMessage::most_suspects) return false;
    root_ = answer.root;
    suspects_.assign(answer.suspects.begin(),
                     answer.suspects.begin() + static_cast<std::ptrdiff_t>(answer.count));
    answered_ = now;
    link_ = Link::open;
    backoff_ = interval(deadline_);
    return true;
  });
}

void StatusClient::tell(const RankStatus& own, Time now) {
  own_ = own;
  if (state_ != State::up || connection_.has_unsent()) return;
  if (!send(connection_, StatusMessage{address_.token, own_})) broken(now);
}

std::vector<SeenRank> StatusClient::others(Time now) const {
  const std::int64_t age = (now - answered_).count();
  SeenRank root = root_;
  root.link = link_;
  root.unheard += age;
  // What rank 0 last said of the others is as old as its silence, and no evidence against them. A third of
  // the deadline is well before that age alone would make all of them silent.
  if (link_ != Link::open || now - answered_ >= deadline_ / 3) return {root};
  std::vector<SeenRank> seen{root};
  for (SeenRank suspect : suspects_) {
    suspect.unheard += age;
    if (suspect.status.rank != own_.rank) seen.push_back(suspect);
  }
  sort_by_suspicion(seen, deadline_);
  return seen;
}

}  // namespace ganymede
