#include "core/tensor_digest.h"

#include <ATen/ATen.h>

#include <span>

#include "core/hash.h"

namespace ganymede {
namespace {

at::ScalarType integer_of(const at::Tensor& tensor) {
  switch (tensor.element_size()) {
    case 1:
      return at::kByte;
    case 2:
      return at::kShort;
    case 4:
      return at::kInt;
    default:
      return at::kLong;
  }
}

}  // namespace

at::Tensor digest_of(const at::Tensor& tensor) {
  TORCH_CHECK(tensor.is_non_overlapping_and_dense(), "digest_of: a tensor with holes");
  if (tensor.is_cpu()) {
    const std::span bytes(static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes());
    return at::scalar_tensor(static_cast<std::int64_t>(Xxh3::of(bytes)), at::kLong);
  }
  const at::Tensor elements = tensor.detach().as_strided({tensor.numel()}, {1});
  return elements.view(integer_of(elements)).sum(at::kLong);
}

at::Tensor digests_of_rows(const at::Tensor& tensor) {
  TORCH_CHECK(tensor.is_non_overlapping_and_dense(), "digests_of_rows: a tensor with holes");
  const std::int64_t rows = tensor.size(0), width = rows == 0 ? 0 : tensor.numel() / rows;
  if (tensor.is_cuda()) {
    const at::Tensor elements = tensor.detach().as_strided({rows, width}, {width, 1});
    return elements.view(integer_of(elements)).sum(1, false, at::kLong);
  }
  const at::Tensor digests = at::empty({rows}, at::kLong);
  const std::span bytes(static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes());
  const auto row_bytes = static_cast<std::size_t>(width * tensor.element_size());
  for (std::int64_t row = 0; row < rows; ++row)
    digests.data_ptr<std::int64_t>()[row] =
        static_cast<std::int64_t>(Xxh3::of(bytes.subspan(static_cast<std::size_t>(row) * row_bytes, row_bytes)));
  return digests;
}

}  // namespace ganymede
