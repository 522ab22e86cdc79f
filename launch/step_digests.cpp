#include "launch/step_digests.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/tensor_digest.h"

namespace ganymede {
namespace {

// Whole numbers below 2^53 are exact in float64, and so are sums of a few.
constexpr int half_bits = 32;
constexpr std::int64_t half_mask = (std::int64_t{1} << half_bits) - 1;
constexpr std::int64_t digest_mask = (std::int64_t{1} << 48) - 1;
constexpr std::int64_t odd = 0x1000193;

/// The first tensor of each rank, and the end: about as many bytes each.
std::vector<std::int64_t> shares_of(const NamedTensors& tensors, int world_size) {
  std::size_t total = 0, before = 0;
  for (const auto& [name, tensor] : tensors) total += tensor.nbytes();
  std::vector<std::int64_t> first(static_cast<std::size_t>(world_size) + 1, std::ssize(tensors));
  first[0] = 0;
  std::size_t rank = 0;
  for (std::size_t i = 0; i < tensors.size(); before += tensors[i++].second.nbytes())
    while (rank + 1 < static_cast<std::size_t>(world_size) &&
           before * static_cast<std::size_t>(world_size) >= (rank + 1) * std::max<std::size_t>(total, 1))
      first[++rank] = static_cast<std::int64_t>(i);
  return first;
}

}  // namespace

void StepDigests::add(const Batch& batch) {
  const std::int64_t rows = batch.images.size(0);
  const auto options = batch.images.options().dtype(at::kLong);
  at::Tensor digests = at::zeros({rows}, options);
  for (const at::Tensor& part :
       {batch.images, batch.labels, batch.sources, batch.embeddings, batch.other_embeddings}) {
    digests = digests * odd;
    if (part.defined()) digests = digests + digests_of_rows(part);
  }
  if (batch.tokens.defined()) digests = digests * odd + digests_of_rows(batch.tokens);
  const at::Tensor positions = at::arange(rows, options) + (batch.position + batch.share.first);
  const at::Tensor sum = (digests * (positions * 2 + 1)).sum();
  samples_ = samples_.defined() ? samples_ + sum : sum;
}

at::Tensor StepDigests::numbers(const NamedTensors& tensors) {
  const auto options = tensors.front().second.options();
  const at::Tensor samples = samples_.defined() ? samples_ : at::zeros({}, options.dtype(at::kLong));
  samples_.reset();
  const std::vector<std::int64_t> first = shares_of(tensors, world_size_);
  const auto rank = static_cast<std::size_t>(rank_);
  std::vector<at::Tensor> own{samples.bitwise_right_shift(half_bits).bitwise_and(half_mask),
                              samples.bitwise_and(half_mask)};
  for (auto i = first[rank]; i < first[rank + 1]; ++i)
    own.push_back(digest_of(tensors[static_cast<std::size_t>(i)].second));
  const at::Tensor stacked = at::stack(own).bitwise_and(digest_mask).to(at::kDouble);
  const auto zeros = [&](std::int64_t count) { return at::zeros({count}, options.dtype(at::kDouble)); };
  return at::cat({stacked.narrow(0, 0, 2), zeros(first[rank]), stacked.narrow(0, 2, stacked.numel() - 2),
                  zeros(std::ssize(tensors) - first[rank + 1])});
}

void StepDigests::read(std::span<const double> sums, std::vector<std::string> names, ChainLink& link) {
  link.samples = (static_cast<std::uint64_t>(sums[0]) << half_bits) + static_cast<std::uint64_t>(sums[1]);
  std::vector<std::uint64_t> digests;
  for (const double sum : sums.subspan(2)) digests.push_back(static_cast<std::uint64_t>(sum));
  link.add_tensors(std::move(names), digests);
}

}  // namespace ganymede
