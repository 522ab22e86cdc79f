#pragma once

#include <poll.h>

#include <array>
#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "distributed/hang_report.h"
#include "distributed/socket.h"

namespace ganymede {

/// How the ranks' watchdogs tell each other where they are, beside MPI, so that it works when MPI is stuck:
/// rank 0 listens on TCP, every other rank sends it a RankStatus about each interval(), and rank 0 sends all
/// of them the ranks to suspect. Nothing here blocks, throws after construction, or reads a clock: the caller
/// polls and passes the time, in milliseconds from any origin. One thread uses a channel.
class StatusChannel {
 public:
  using Time = std::chrono::milliseconds;

  virtual ~StatusChannel() = default;
  /// Appends what to poll() for.
  virtual void watch(std::vector<pollfd>& polled) = 0;
  /// Handles what poll() found in the entries that watch() appended just before.
  virtual void handle(std::span<const pollfd> polled, Time now) = 0;
  /// Tells the others where this rank is. Call it about each interval(). What was told before the link was
  /// up goes as soon as it is.
  virtual void tell(const RankStatus& own, Time now) = 0;
  /// The other ranks, sorted by suspicion; the least suspect may be missing.
  virtual std::vector<SeenRank> others(Time now) const = 0;

  /// A twentieth of the deadline, between 50 ms and 1 s.
  static Time interval(Time deadline);
};

/// Where rank 0 listens, and the word that a peer must say first. The token keeps strays out (port scanners,
/// another job); it is no defence against somebody who reads the network.
struct ChannelAddress {
  using Token = std::array<std::uint64_t, 2>;

  std::string host;
  std::uint16_t port = 0;
  Token token{};
  std::vector<std::string> ipv4;  ///< dotted

  /// "host port token address,address,..."; parse() throws Error(peer).
  std::string text() const;
  static ChannelAddress parse(const std::string& text);
};

/// Rank 0's end.
class StatusServer : public StatusChannel {
 public:
  /// Opens the port. Throws Error(peer).
  StatusServer(int size, Time deadline);
  const ChannelAddress& address() const { return address_; }

  void watch(std::vector<pollfd>& polled) override;
  void handle(std::span<const pollfd> polled, Time now) override;
  void tell(const RankStatus& own, Time now) override;
  std::vector<SeenRank> others(Time now) const override;

 private:
  struct Peer {
    Connection connection;
    Time since{};
    int rank = -1;  // unknown until its first message
    std::uint64_t number = 0;
  };
  struct Row {
    RankStatus status;
    Time heard{};
    Link link = Link::never;
    std::uint64_t peer = 0;  // number of the peer that speaks for the rank
  };
  void accept(Time now);
  bool listen_to(Peer& peer, Time now);
  void drop(Peer& peer);

  Time deadline_;
  Listener listener_;
  ChannelAddress address_;
  std::vector<Peer> peers_;
  std::vector<Row> rows_;
  std::uint64_t numbers_ = 0;
  std::optional<Time> full_until_;  // no connection is accepted before
};

/// The end of every other rank. Connects, and connects again when the link breaks or answers stay out.
class StatusClient : public StatusChannel {
 public:
  StatusClient(ChannelAddress address, int rank, Time deadline);

  void watch(std::vector<pollfd>& polled) override;
  void handle(std::span<const pollfd> polled, Time now) override;
  void tell(const RankStatus& own, Time now) override;
  std::vector<SeenRank> others(Time now) const override;

 private:
  enum class State { down, connecting, up };
  void connect(Time now);
  void broken(Time now);
  void retry(Time now);
  bool listen(Time now);

  ChannelAddress address_;
  Time deadline_, patience_, backoff_, next_try_{}, begun_{}, answered_{};
  Link link_ = Link::never;
  State state_ = State::down;
  std::size_t target_ = 0;
  Connection connection_;
  RankStatus own_;  ///< as last told
  SeenRank root_;
  std::vector<SeenRank> suspects_;
};

}  // namespace ganymede
