#include "core/shard_layout.h"

#include <gtest/gtest.h>

#include "tests/core/saved_checkpoint.h"

namespace ganymede {
namespace {

TEST(ShardLayout, CutsTheConcatenationEvenly) {
  const NamedTensors tensors = {{"a", at::empty({10})}, {"b", at::empty({2, 15})}, {"c", at::empty({8})}};
  const std::vector<TensorRecord> records = lay_out(tensors, 4);  // 48 floats, 12 a shard
  ASSERT_EQ(records.size(), 3u);
  std::string text;
  for (const TensorRecord& record : records)
    for (const Piece& piece : record.pieces) text += fmt::format("{}:{} ", piece.shard, piece.key);
  EXPECT_EQ(text, "0:a 0:b[0:2] 1:b[2:14] 2:b[14:26] 3:b[26:30] 3:c ");
}

TEST(ShardLayout, PiecesCoverEveryTensorAndShardsAreEven) {
  const NamedTensors tensors = some_tensors(1);
  std::int64_t total = 0;
  for (const auto& [name, tensor] : tensors) total += TensorType::of(tensor).bytes();
  for (const int world_size : {1, 2, 3, 5, 7, 64, 5000}) {
    std::vector<std::int64_t> bytes(static_cast<std::size_t>(world_size), 0);
    int last_shard = 0;
    for (const TensorRecord& record : lay_out(tensors, world_size)) {
      std::int64_t end = 0;
      ASSERT_FALSE(record.pieces.empty());
      for (const Piece& piece : record.pieces) {
        EXPECT_EQ(piece.elements.first, end);
        EXPECT_GE(piece.shard, last_shard);
        last_shard = piece.shard;
        end += piece.elements.count;
        bytes.at(static_cast<std::size_t>(piece.shard)) += piece.elements.count * record.type.item_bytes();
      }
      EXPECT_EQ(end, record.type.numel());
    }
    // An element is never cut: a shard may differ from its even share by the widest one.
    for (const std::int64_t shard : bytes) EXPECT_LE(std::abs(shard - total / world_size), 8);
  }
}

TEST(ShardLayout, PartsAreViewsWhereMemoryAllows) {
  const at::Tensor tensor = at::arange(10);
  const NamedTensors part = shard_of({{"a", tensor}}, 1, 2);
  ASSERT_EQ(part.size(), 1u);
  EXPECT_EQ(part[0].first, "a[5:10]");
  EXPECT_EQ(part[0].second.data_ptr(), tensor.data_ptr<std::int64_t>() + 5);
}

TEST(ShardLayout, AWorldWithoutBytesIsLaidOutToo) {
  EXPECT_TRUE(lay_out({}, 3).empty());
  EXPECT_EQ(lay_out({{"nothing", at::empty({0})}}, 3)[0].pieces.size(), 1u);
}

}  // namespace
}  // namespace ganymede
