#include "distributed/replica_check.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <map>
#include <set>
#include <span>

#include "core/hash.h"
#include "core/tensor_digest.h"

namespace ganymede {
namespace {

/// One number a tensor, int64 on the host.
at::Tensor digests_of(const NamedTensors& tensors) {
  std::vector<at::Tensor> digests;
  for (const auto& [name, tensor] : tensors) digests.push_back(digest_of(tensor));
  return at::stack(digests).cpu();
}

/// Row r of rank r.
at::Tensor gather_rows(Communicator& ranks, const at::Tensor& row) {
  at::Tensor rows = at::empty({ranks.size() * row.numel()}, at::kLong);
  ranks.all_gather(rows, row)->wait();
  return rows.reshape({ranks.size(), row.numel()});
}

std::span<const std::int64_t> values_of(const at::Tensor& row) {
  return {row.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(row.numel())};
}

/// The ranks whose digest is not that of more than half of all; none where no digest is.
std::vector<int> minority(std::span<const std::int64_t> digests) {
  std::map<std::int64_t, std::size_t> votes;
  for (const std::int64_t digest : digests) ++votes[digest];
  std::vector<int> others;
  for (const auto& [digest, count] : votes) {
    if (2 * count <= digests.size()) continue;
    for (std::size_t rank = 0; rank < digests.size(); ++rank)
      if (digests[rank] != digest) others.push_back(static_cast<int>(rank));
  }
  return others;
}

}  // namespace

std::string ReplicaDifference::text(int world_size) const {
  const auto others = static_cast<std::size_t>(world_size) - ranks.size();
  const std::string who =
      ranks.empty() ? fmt::format("the {} ranks are not the same, and no majority tells which is wrong", world_size)
                    : fmt::format("rank{} {} {} not as the other {}", ranks.size() == 1 ? "" : "s",
                                  fmt::join(ranks, ", "), ranks.size() == 1 ? "is" : "are", others);
  return fmt::format("{}: {} tensor{}, {}{}", who, tensors.size(),
                     tensors.size() == 1 ? " differs" : "s differ", tensors.front(),
                     tensors.size() == 1 ? "" : " the first");
}

std::optional<ReplicaDifference> compare_replicas(Communicator& ranks, const NamedTensors& tensors) {
  if (ranks.size() == 1 || tensors.empty()) return std::nullopt;
  const at::Tensor own = digests_of(tensors);
  const auto all_of_own = static_cast<std::int64_t>(Xxh3::of(std::as_bytes(values_of(own))));
  const at::Tensor of_ranks = gather_rows(ranks, at::full({1}, all_of_own, at::kLong)).flatten();
  if (std::set(values_of(of_ranks).begin(), values_of(of_ranks).end()).size() == 1) return std::nullopt;
  ReplicaDifference difference{minority(values_of(of_ranks)), {}};
  const at::Tensor rows = gather_rows(ranks, own);
  const at::Tensor differs = (rows != rows[0]).any(0);
  for (std::size_t i = 0; i < tensors.size(); ++i)
    if (differs[static_cast<std::int64_t>(i)].item<bool>()) difference.tensors.push_back(tensors[i].first);
  return difference;
}

}  // namespace ganymede
