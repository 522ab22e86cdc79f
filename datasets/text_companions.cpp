#include "datasets/text_companions.h"

#include <ATen/ATen.h>

#include "datasets/companions.h"

namespace ganymede {
namespace {

constexpr std::int64_t together = 256;  // images

template <class T>
std::span<const T> numbers_of(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<T>(), static_cast<std::size_t>(tensor.numel())};
}

}  // namespace

void describe_text(const ImageDataset& from, DatasetDescription& description) {
  if (const ImageDataset* embeddings = from.embeddings())
    description.embeddings = {embeddings->height(), embeddings->width()};
  if (const ImageDataset* tokens = from.tokens()) description.tokens = {tokens->width(), from.vocabulary()};
}

void copy_embeddings(const ImageDataset& from, DatasetWriter& to) {
  for (std::int64_t first = 0; from.embeddings() && first < from.size(); first += together) {
    const std::int64_t count = std::min(together, from.size() - first);
    to.write_embeddings(first, numbers_of<float>(read_all_embeddings(*from.embeddings(), first, count)));
  }
}

void copy_text(const ImageDataset& from, DatasetWriter& to) {
  copy_embeddings(from, to);
  for (std::int64_t first = 0; from.tokens() && first < from.size(); first += together) {
    const std::int64_t count = std::min(together, from.size() - first);
    to.write_tokens(first, numbers_of<std::int32_t>(read_tokens(*from.tokens(), first, count).to(at::kInt)));
  }
}

}  // namespace ganymede
