#include "core/arena.h"

#include <gtest/gtest.h>

namespace ganymede {
namespace {

NamedTensors tensors() {
  return {{"scalar", at::ones({})},
          {"matrix", at::ones({3, 5})},
          {"kernel", at::ones({4, 3, 3, 3})},
          {"vector", at::ones({17})},
          {"cube", at::ones({2, 3, 4})}};
}

TEST(ArenaLayout, AlignsEveryTensorInOrder) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    const ArenaLayout layout(tensors(), type);
    const auto element = static_cast<std::int64_t>(c10::elementSize(type));
    std::int64_t end = 0;
    const auto offsets = layout.offsets();
    ASSERT_EQ(offsets.size(), tensors().size());
    for (std::size_t i = 0; i < offsets.size(); ++i) {
      EXPECT_EQ(offsets[i] * element % 64, 0);
      EXPECT_GE(offsets[i], end);
      EXPECT_LT((offsets[i] - end) * element, 64);
      end = offsets[i] + tensors()[i].second.numel();
    }
    EXPECT_GE(layout.size(), end);
    EXPECT_EQ(layout.size() * element % 64, 0);
    EXPECT_EQ(layout.allocate().numel(), layout.size());
    EXPECT_EQ(layout.allocate().scalar_type(), type);
  }
}

TEST(ArenaLayout, ViewsHaveTheTensorsNamesAndShapes) {
  const ArenaLayout layout(tensors(), at::kFloat);
  at::Tensor arena = layout.allocate();
  const NamedTensors views = layout.views(arena);
  const auto offsets = layout.offsets();
  for (std::size_t i = 0; i < views.size(); ++i) {
    EXPECT_EQ(views[i].first, tensors()[i].first);
    EXPECT_EQ(views[i].second.sizes(), tensors()[i].second.sizes());
    EXPECT_EQ(views[i].second.data_ptr<float>(), arena.data_ptr<float>() + offsets[i]);
    EXPECT_TRUE(views[i].second.is_non_overlapping_and_dense());
  }
  EXPECT_TRUE(views[2].second.is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST(ArenaLayout, ViewsShareTheArenasMemoryAndNotEachOthers) {
  const ArenaLayout layout(tensors(), at::kDouble);
  at::Tensor arena = layout.allocate();
  double expected = 0;
  for (const auto& [name, view] : layout.views(arena)) {
    view.add_(1);
    expected += static_cast<double>(view.numel());
  }
  EXPECT_EQ(arena.sum().item<double>(), expected);
  EXPECT_EQ(arena.max().item<double>(), 1);
}

TEST(ArenaLayout, MayBeEmpty) {
  const ArenaLayout layout({}, at::kFloat);
  EXPECT_EQ(layout.size(), 0);
  EXPECT_TRUE(layout.views(layout.allocate()).empty());
}

}  // namespace
}  // namespace ganymede
