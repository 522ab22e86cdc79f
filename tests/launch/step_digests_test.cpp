#include "launch/step_digests.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace ganymede {
namespace {

constexpr std::int64_t batch_size = 7;

NamedTensors net_tensors() {
  NamedTensors tensors;
  for (const std::int64_t size : {40, 3, 1000, 0, 16})
    tensors.emplace_back("net/weight/" + std::to_string(size), at::arange(size, at::kFloat).sin());
  return tensors;
}

Batch some_images(std::int64_t position) {
  const at::Tensor images = (at::arange(batch_size * 3 * 4 * 4, at::kFloat) + position).cos();
  Batch batch;
  batch.images = images.reshape({batch_size, 3, 4, 4}).contiguous(at::MemoryFormat::ChannelsLast);
  batch.labels = at::arange(batch_size) % 3;
  batch.position = position;
  batch.share = {0, batch_size};
  return batch;
}

Batch rows_of(const Batch& batch, int rank, int ranks) {
  Batch part = batch;
  part.share = share_of(batch_size, rank, ranks);
  part.images = batch.images.narrow(0, part.share.first, part.share.count);
  part.labels = batch.labels.narrow(0, part.share.first, part.share.count);
  if (batch.sources.defined()) part.sources = batch.sources.narrow(0, part.share.first, part.share.count);
  return part;
}

/// What so many ranks tell together of a step of these batches.
ChainLink told_by(int ranks, const std::vector<Batch>& batches, const NamedTensors& tensors) {
  at::Tensor sums;
  for (int rank = 0; rank < ranks; ++rank) {
    StepDigests digests(rank, ranks);
    for (const Batch& batch : batches) digests.add(rows_of(batch, rank, ranks));
    const at::Tensor numbers = digests.numbers(tensors);
    sums = sums.defined() ? sums + numbers : numbers;
  }
  EXPECT_EQ(static_cast<std::size_t>(sums.numel()), StepDigests::count(tensors.size()));
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  ChainLink link;
  StepDigests::read({sums.const_data_ptr<double>(), static_cast<std::size_t>(sums.numel())}, names, link);
  return link;
}

TEST(StepDigests, AreTheSameAtAnyRankCount) {
  const std::vector<Batch> batches{some_images(0), some_images(batch_size)};
  const ChainLink alone = told_by(1, batches, net_tensors());
  EXPECT_NE(alone.samples, 0u);
  for (const int ranks : {2, 3, 4, 9}) {
    const ChainLink link = told_by(ranks, batches, net_tensors());
    EXPECT_EQ(link.samples, alone.samples) << ranks;
    EXPECT_EQ(link.weights, alone.weights) << ranks;
    EXPECT_EQ(link.marks, alone.marks) << ranks;
  }
}

TEST(StepDigests, ShowWhatIsChangedInABatch) {
  const std::uint64_t expected = told_by(2, {some_images(0)}, net_tensors()).samples;
  const std::vector<std::function<void(Batch&)>> changes{
      [](Batch& batch) { batch.images[3][1][2][3] += 1e-6; }, [](Batch& batch) { batch.labels[2] += 1; },
      [](Batch& batch) { batch.position += 1; },
      [](Batch& batch) { batch.images = batch.images.flip(0).contiguous(); },
      [](Batch& batch) {
        batch.sources = at::zeros({batch_size, 1});
      }};
  for (std::size_t i = 0; i < changes.size(); ++i) {
    Batch batch = some_images(0);
    batch.images = batch.images.clone();
    changes[i](batch);
    EXPECT_NE(told_by(2, {batch}, net_tensors()).samples, expected) << i;
  }
}

TEST(StepDigests, NameTheTensorThatIsChanged) {
  const ChainLink expected = told_by(3, {some_images(0)}, net_tensors());
  for (std::size_t i = 0; i < net_tensors().size(); ++i) {
    const NamedTensors tensors = net_tensors();
    if (tensors[i].second.numel() == 0) continue;
    tensors[i].second[-1] += 1e-6;
    const ChainLink link = told_by(3, {some_images(0)}, tensors);
    EXPECT_EQ(link.samples, expected.samples);
    EXPECT_NE(link.weights, expected.weights);
    for (std::size_t other = 0; other < tensors.size(); ++other)
      EXPECT_EQ(link.marks.substr(2 * other, 2) == expected.marks.substr(2 * other, 2), other != i);
  }
}

TEST(StepDigests, BeginAnewWithEachStep) {
  StepDigests digests(0, 1);
  digests.add(some_images(0));
  digests.numbers(net_tensors());
  const at::Tensor none = digests.numbers(net_tensors());
  EXPECT_EQ(none[0].item<double>() + none[1].item<double>(), 0);
}

}  // namespace
}  // namespace ganymede
