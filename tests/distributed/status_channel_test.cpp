#include "distributed/status_channel.h"

#include <gtest/gtest.h>

#include <thread>

#include "core/error.h"

namespace ganymede {
namespace {

using namespace std::chrono_literals;
using Time = StatusChannel::Time;
constexpr Time patience = 10s;

RankStatus status(int rank, std::uint64_t sequence) {
  RankStatus own;
  own.rank = rank;
  own.sequence = own.in_round = sequence;
  own.waiting = 1;
  return own;
}

void serve(StatusChannel& channel, Time now) {
  std::vector<pollfd> polled;
  channel.watch(polled);
  ::poll(polled.data(), polled.size(), 0);
  channel.handle(polled, now);
}

// Both ends in one thread, on a clock of their own: `now` passes as the test says, the kernel's loopback
// needs its moment.
struct Pair {
  StatusServer server{2, patience};
  StatusClient client{server.address(), 1, patience};
  Time now{0};
  std::uint64_t sequence = 1;

  void run(Time time, bool with_server = true) {
    for (const Time end = now + time; now < end; now += 100ms) {
      serve(client, now);
      client.tell(status(1, sequence), now);
      std::this_thread::sleep_for(2ms);
      if (!with_server) continue;
      serve(server, now);
      server.tell(status(0, sequence), now);
      std::this_thread::sleep_for(2ms);
    }
  }
  SeenRank seen_by_server() const { return server.others(now)[0]; }
  SeenRank seen_by_client() const { return client.others(now)[0]; }
};

TEST(ChannelAddress, ComesBackFromItsText) {
  const ChannelAddress address{"nodeA", 4711, {0x123, 0xfedcba9876543210}, {"10.0.0.7", "127.0.0.1"}};
  const ChannelAddress parsed = ChannelAddress::parse(address.text());
  EXPECT_EQ(parsed.host, address.host);
  EXPECT_EQ(parsed.port, address.port);
  EXPECT_EQ(parsed.token, address.token);
  EXPECT_EQ(parsed.ipv4, address.ipv4);
  for (const std::string text : {"", "nodeA", "nodeA 4711 12 10.0.0.7", "nodeA 99999 00 x",
                                 "nodeA 1 zz00000000000000000000000000000z 10.0.0.7"}) {
    EXPECT_THROW(ChannelAddress::parse(text), Error) << text;
  }
}

TEST(ChannelAddress, HasAnUnforeseeableToken) {
  EXPECT_NE(StatusServer(2, patience).address().token, StatusServer(2, patience).address().token);
}

TEST(StatusChannel, WhatIsToldBeforeTheLinkIsUpGoesOnceItIs) {
  Pair pair;
  pair.client.tell(status(1, 7), pair.now);
  for (int i = 0; i < 200 && pair.seen_by_server().link == Link::never; ++i) {
    serve(pair.client, pair.now);
    serve(pair.server, pair.now);
    std::this_thread::sleep_for(2ms);
  }
  EXPECT_EQ(pair.seen_by_server().link, Link::open);
  EXPECT_EQ(pair.seen_by_server().status.sequence, 7u);
}

TEST(StatusChannel, BothEndsLearnOfEachOther) {
  Pair pair;
  EXPECT_EQ(pair.seen_by_server().link, Link::never);
  EXPECT_EQ(pair.seen_by_client().link, Link::never);
  pair.run(1s);
  pair.sequence = 77;
  pair.run(500ms);
  EXPECT_EQ(pair.seen_by_server().link, Link::open);
  EXPECT_EQ(pair.seen_by_server().status.sequence, 77u);
  EXPECT_LE(pair.seen_by_server().unheard, 200);
  EXPECT_EQ(pair.seen_by_client().link, Link::open);
  EXPECT_EQ(pair.seen_by_client().status.sequence, 77u);
  EXPECT_LE(pair.seen_by_client().unheard, 200);
}

TEST(StatusChannel, ServerSeesTheEndOfAClient) {
  Pair pair;
  pair.run(1s);
  { const StatusClient gone = std::move(pair.client); }
  std::this_thread::sleep_for(5ms);
  serve(pair.server, pair.now);
  EXPECT_EQ(pair.seen_by_server().link, Link::closed);
}

TEST(StatusChannel, ClientSeesTheEndOfTheServer) {
  auto server = std::make_unique<StatusServer>(2, patience);
  StatusClient client(server->address(), 1, patience);
  Time now{0};
  for (int i = 0; i < 10; ++i, now += 100ms) {
    serve(client, now);
    client.tell(status(1, 1), now);
    std::this_thread::sleep_for(2ms);
    serve(*server, now);
    server->tell(status(0, 1), now);
    std::this_thread::sleep_for(2ms);
  }
  server.reset();
  std::this_thread::sleep_for(5ms);
  serve(client, now);
  EXPECT_EQ(client.others(now)[0].link, Link::closed);
}

TEST(StatusChannel, ClientTellsASilentServerFromAClosedOne) {
  Pair pair;
  pair.run(1s);
  pair.run(6s, false);  // long enough for attempts to connect anew, which the kernel accepts
  const std::vector<SeenRank> others = pair.client.others(pair.now);
  ASSERT_EQ(others.size(), 1u);
  EXPECT_EQ(others[0].status.rank, 0);
  EXPECT_EQ(others[0].link, Link::open);
  EXPECT_GE(others[0].unheard, 6000);
  pair.run(2s);  // it was only stopped
  EXPECT_LE(pair.seen_by_client().unheard, 200);
  EXPECT_EQ(pair.seen_by_server().link, Link::open);
  EXPECT_LE(pair.seen_by_server().unheard, 200);
}

TEST(StatusChannel, ClientTriesAnewWhenAnswersStayOut) {
  const Listener mute;
  StatusClient client({host_name(), mute.port(), {1, 2}, {"127.0.0.1"}}, 1, patience);
  std::vector<Connection> accepted;
  for (Time now{0}; now < 20s; now += 100ms) {
    serve(client, now);
    std::this_thread::sleep_for(1ms);
    Connection connection;
    if (mute.accept(connection) == Listener::Outcome::accepted) accepted.push_back(std::move(connection));
  }
  EXPECT_GE(accepted.size(), 3u);
  EXPECT_LE(accepted.size(), 9u);
  EXPECT_EQ(client.others(20s)[0].link, Link::never);
}

TEST(StatusChannel, NewConnectionReplacesAHalfOpenOne) {
  Pair pair;
  pair.run(1s);
  // The old end stays open and says no more, as when its host lost power and came back.
  StatusClient old = std::move(pair.client);
  pair.client = StatusClient(pair.server.address(), 1, patience);
  pair.sequence = 5;
  pair.run(1s);
  EXPECT_EQ(pair.seen_by_server().status.sequence, 5u);
  // Whatever the old one had under way neither counts nor closes the row.
  old.tell(status(1, 3), pair.now);
  std::this_thread::sleep_for(5ms);
  serve(pair.server, pair.now);
  EXPECT_EQ(pair.seen_by_server().status.sequence, 5u);
  EXPECT_EQ(pair.seen_by_server().link, Link::open);
}

TEST(StatusChannel, DropsPeersWithoutTheToken) {
  Pair pair;
  ChannelAddress forged = pair.server.address();
  forged.token[1] ^= 1;
  pair.client = StatusClient(forged, 1, patience);
  pair.run(2s);
  EXPECT_EQ(pair.seen_by_server().link, Link::never);
  EXPECT_EQ(pair.seen_by_client().link, Link::never);
}

TEST(StatusChannel, DropsRanksThatCannotBe) {
  for (const int rank : {-1, 0, 2, 1 << 30}) {
    Pair pair;
    pair.client = StatusClient(pair.server.address(), rank, patience);
    for (; pair.now < 1s; pair.now += 100ms) {
      serve(pair.client, pair.now);
      pair.client.tell(status(rank, 1), pair.now);
      std::this_thread::sleep_for(2ms);
      serve(pair.server, pair.now);
      pair.server.tell(status(0, 1), pair.now);
    }
    EXPECT_EQ(pair.seen_by_server().link, Link::never);
    EXPECT_EQ(pair.seen_by_client().link, Link::never);
  }
}

TEST(StatusChannel, KeepsAPeerThatDoesNotReadFromHoldingUpTheRest) {
  StatusServer server(3, patience);
  StatusClient deaf(server.address(), 1, patience);
  StatusClient client(server.address(), 2, patience);
  Time now{0};
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 5000; ++i, now += 1ms) {
    if (i < 20) {
      serve(deaf, now);
      deaf.tell(status(1, 1), now);
    }
    serve(client, now);
    client.tell(status(2, static_cast<std::uint64_t>(i)), now);
    serve(server, now);
    server.tell(status(0, 1), now);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  EXPECT_EQ(client.others(now)[0].link, Link::open);
  EXPECT_LE(client.others(now)[0].unheard, 1000);
}

TEST(StatusChannel, ServesAHundredRanks) {
  constexpr int kRanks = 100;
  StatusServer server(kRanks, patience);
  std::vector<StatusClient> clients;
  for (int rank = 1; rank < kRanks; ++rank) clients.emplace_back(server.address(), rank, patience);
  Time now{0};
  for (int i = 0; i < 10; ++i, now += 100ms) {
    for (int rank = 1; rank < kRanks; ++rank) {
      StatusClient& client = clients[static_cast<std::size_t>(rank - 1)];
      serve(client, now);
      client.tell(status(rank, rank == 63 ? 6 : 7), now);
    }
    serve(server, now);
    server.tell(status(0, 7), now);
  }
  std::this_thread::sleep_for(5ms);
  serve(clients[0], now);
  EXPECT_EQ(clients[0].others(now)[0].status.rank, 63);
  EXPECT_EQ(server.others(now)[0].status.rank, 63);
}

}  // namespace
}  // namespace ganymede
