#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/named_tensors.h"
#include "core/share.h"
#include "core/tensor_type.h"

namespace ganymede {

/// How replicated tensors are spread over the ranks that write them. Laid end to end in their order, the
/// tensors are cut into as many even pieces of bytes as there are ranks; rank r writes the r-th piece as
/// shard r. A tensor that lies across a cut is written in parts by flat row-major element range, a whole one
/// under its own name and shape.

/// A part of a tensor: flat elements [first, first + count), stored in shard `shard` as tensor `key`.
struct Piece {
  int shard = 0;
  std::string key;  ///< the tensor's name, or "name[first:end]" of a part
  Share elements;
};

/// A tensor and where its elements lie. The pieces follow one another and cover it; an empty tensor has one,
/// empty.
struct TensorRecord {
  std::string name;
  TensorType type;
  std::vector<Piece> pieces;

  bool is_whole(const Piece& piece) const { return piece.elements.count == type.numel(); }
  /// As what `piece` is stored: the tensor's own type if it is whole, else one dimension.
  TensorType stored_type(const Piece& piece) const {
    return is_whole(piece) ? type : TensorType{type.dtype, {piece.elements.count}};
  }
};

/// The records of `tensors`, whose values are not looked at.
std::vector<TensorRecord> lay_out(const NamedTensors& tensors, int world_size);

/// The parts of `tensor`, of which this is the record, that `rank` writes, by key: views as those of shard_of().
NamedTensors parts_of(const TensorRecord& record, const at::Tensor& tensor, int rank);

/// The tensors that `rank` writes, by key: views of `tensors` wherever their memory is in row-major order. A
/// caller that trains on while they are written clones these, and only these.
NamedTensors shard_of(const NamedTensors& tensors, int rank, int world_size);

}  // namespace ganymede
