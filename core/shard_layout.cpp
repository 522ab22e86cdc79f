#include "core/shard_layout.h"

#include <fmt/format.h>

#include <algorithm>

namespace ganymede {
namespace {

std::int64_t bytes_of(const NamedTensors& tensors) {
  std::int64_t bytes = 0;
  for (const auto& [name, tensor] : tensors) bytes += TensorType::of(tensor).bytes();
  return bytes;
}

/// Of a tensor that begins `begin` bytes into the whole: its first element at or behind `cut`.
std::int64_t element_at(std::int64_t cut, std::int64_t begin, const TensorType& type) {
  const std::int64_t behind = std::max<std::int64_t>(cut - begin, 0);
  return std::min((behind + type.item_bytes() - 1) / type.item_bytes(), type.numel());
}

Piece make_piece(const std::string& name, const TensorType& type, int shard, std::int64_t first,
                 std::int64_t end) {
  const bool is_whole = end - first == type.numel();
  return {shard, is_whole ? name : fmt::format("{}[{}:{}]", name, first, end), {first, end - first}};
}

}  // namespace

std::vector<TensorRecord> lay_out(const NamedTensors& tensors, int world_size) {
  const std::int64_t total = bytes_of(tensors);
  std::vector<TensorRecord> records;
  std::int64_t begin = 0;
  int shard = 0;  // no tensor begins before the shard in which the one before it ends
  for (const auto& [name, tensor] : tensors) {
    TensorRecord record{name, TensorType::of(tensor), {}};
    const std::int64_t numel = record.type.numel();
    for (std::int64_t end = 0; record.pieces.empty() || end < numel; ++shard) {
      const std::int64_t first = end;
      end = element_at(share_of(total, shard + 1, world_size).first, begin, record.type);
      if (first < end || numel == 0)
        record.pieces.push_back(make_piece(name, record.type, shard, first, end));
    }
    shard = record.pieces.back().shard;
    begin += record.type.bytes();
    records.push_back(std::move(record));
  }
  return records;
}

NamedTensors parts_of(const TensorRecord& record, const at::Tensor& tensor, int rank) {
  NamedTensors parts;
  for (const Piece& piece : record.pieces)
    if (piece.shard == rank)
      parts.emplace_back(piece.key, record.is_whole(piece)
                                        ? tensor.detach()
                                        : tensor.detach().contiguous().flatten().narrow(
                                              0, piece.elements.first, piece.elements.count));
  return parts;
}

NamedTensors shard_of(const NamedTensors& tensors, int rank, int world_size) {
  const std::vector<TensorRecord> records = lay_out(tensors, world_size);
  NamedTensors parts;
  for (std::size_t i = 0; i < records.size(); ++i)
    for (auto& part : parts_of(records[i], tensors[i].second, rank)) parts.push_back(std::move(part));
  return parts;
}

}  // namespace ganymede
