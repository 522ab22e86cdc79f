#pragma once

#include <torch/types.h>

#include <cstring>
#include <filesystem>
#include <vector>

#include "core/checkpoint_store.h"

namespace ganymede {

/// Tensors of several dtypes, shapes and strides; `value` tells one generation from the next.
inline NamedTensors some_tensors(double value) {
  return {{"generator.weight", at::arange(60).reshape({3, 4, 5}).to(at::kFloat) + value},
          {"generator.image", (at::arange(210).reshape({1, 6, 5, 7}).to(at::kFloat) - value)
                                  .contiguous(at::MemoryFormat::ChannelsLast)},
          {"step", at::scalar_tensor(value, at::kDouble)},
          {"nothing", at::empty({0, 3})},
          {"mask", at::arange(11).remainder(2).to(at::kBool)},
          {"generator.half", at::arange(33).to(at::kBFloat16) * value},
          {"discriminator.count", at::arange(5) + static_cast<std::int64_t>(value)}};
}

/// A whole save, as `world_size` ranks do it one after the other.
inline std::filesystem::path save(const CheckpointStore& store, std::int64_t step,
                                  const NamedTensors& tensors, int world_size) {
  const std::filesystem::path temporary = store.begin(step, "nonce");
  store.clear_leftovers(temporary);
  std::vector<FileRecord> shards;
  for (int rank = 0; rank < world_size; ++rank)
    shards.push_back(write_shard(temporary, shard_of(tensors, rank, world_size), rank, world_size));
  const auto saved = store.publish(temporary, step, {{"images", 64 * step}}, lay_out(tensors, world_size), shards);
  store.retain(step);
  return saved;
}

/// All that a restore does, on one rank.
inline NamedTensors restore(const std::filesystem::path& checkpoint) {
  const Manifest manifest = read_manifest(checkpoint);
  verify_shards(checkpoint, manifest);
  return read_tensors(checkpoint, manifest);
}

inline bool bitwise_equal(const NamedTensors& left, const NamedTensors& right) {
  if (left.size() != right.size()) return false;
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (left[i].first != right[i].first) return false;
    const at::Tensor a = left[i].second.contiguous(), b = right[i].second.contiguous();
    if (TensorType::of(a) != TensorType::of(b)) return false;
    if (a.nbytes() != 0 && std::memcmp(a.data_ptr(), b.data_ptr(), a.nbytes()) != 0) return false;
  }
  return true;
}

}  // namespace ganymede
