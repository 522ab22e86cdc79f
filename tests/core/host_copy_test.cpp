#include "core/host_copy.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/core/saved_checkpoint.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

/// All tensors become others.
void train(const NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors)
    if (tensor.scalar_type() == at::kBool)
      tensor.logical_not_();
    else
      tensor.add_(1);
}

TEST(HostCopy, StaysAsTheTensorsWere) {
  NamedTensors tensors = some_tensors(3);
  tensors.emplace_back("a column", at::arange(12).reshape({3, 4}).select(1, 1));
  HostCopy copy;
  for (int save = 0; save < 3; ++save) {
    const auto copied = copy.take(tensors);
    EXPECT_TRUE(copied.is_there());
    EXPECT_TRUE(bitwise_equal(copied.tensors, tensors));
    NamedTensors before;
    for (const auto& [name, tensor] : tensors) before.emplace_back(name, tensor.clone());
    train(tensors);
    EXPECT_TRUE(bitwise_equal(copied.tensors, before));
  }
}

TEST(HostCopy, UsesItsMemoryAgain) {
  HostCopy copy;
  const auto first = copy.take(some_tensors(1));
  const auto second = copy.take(some_tensors(2));
  for (std::size_t i = 0; i < first.tensors.size(); ++i)
    EXPECT_EQ(first.tensors[i].second.const_data_ptr(), second.tensors[i].second.const_data_ptr());
  std::int64_t bytes = 0;
  for (const auto& [name, tensor] : some_tensors(1)) bytes += static_cast<std::int64_t>(tensor.nbytes());
  EXPECT_EQ(copy.bytes(), bytes);
  // Networks grow: what is no longer there holds no memory.
  copy.take({{"generator.weight", at::zeros({2, 2})}});
  EXPECT_EQ(copy.bytes(), 16);
}

// What a thread writes of the copy while training goes on is what a save writes while it waits.
TEST(HostCopy, IsWrittenAsTheTensorsThemselves) {
  const TemporaryFolder folder;
  const NamedTensors tensors = some_tensors(4);
  for (const int rank : {0, 1, 2}) {
    HostCopy copy;
    const auto direct = write_shard(folder.path(), shard_of(tensors, rank, 3), rank, 3);
    const auto copied = write_shard(folder.path(), copy.take(shard_of(tensors, rank, 3)).tensors, rank, 3);
    EXPECT_EQ(direct, copied) << "size or digest";
  }
}

}  // namespace
}  // namespace ganymede
