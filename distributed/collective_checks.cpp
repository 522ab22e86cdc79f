#include "distributed/collective_checks.h"

namespace ganymede {

void check_collective(const at::Tensor& tensor) {
  TORCH_CHECK(tensor.is_non_overlapping_and_dense(), "collectives take dense tensors");
  const at::ScalarType type = tensor.scalar_type();
  TORCH_CHECK(type == at::kFloat || type == at::kDouble || type == at::kLong || type == at::kByte,
              "collectives take float32, float64, int64 and uint8, not ", type);
}

void check_parts(const at::Tensor& whole, const at::Tensor& part, int ranks) {
  check_collective(whole);
  check_collective(part);
  TORCH_CHECK(whole.numel() == part.numel() * ranks && whole.scalar_type() == part.scalar_type(), ranks,
              " parts of ", part.numel(), " ", part.scalar_type(), " are not a whole of ", whole.numel(), " ",
              whole.scalar_type());
}

bool is_part_of(const at::Tensor& whole, const at::Tensor& part, int rank) {
  return part.data_ptr() ==
         static_cast<char*>(whole.data_ptr()) + static_cast<std::size_t>(rank) * part.nbytes();
}

void check_root(int root, int ranks) {
  TORCH_CHECK(root >= 0 && root < ranks, "root ", root, " is not one of ", ranks, " ranks");
}

std::int64_t largest_bytes(std::span<const at::Tensor> tensors) {
  std::int64_t most = 0;
  for (const at::Tensor& tensor : tensors) most = std::max(most, static_cast<std::int64_t>(tensor.nbytes()));
  return most;
}

}  // namespace ganymede
