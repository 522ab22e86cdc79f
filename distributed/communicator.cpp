#include "distributed/communicator.h"

#include <ATen/ATen.h>

#include <cstring>

namespace ganymede {

std::int64_t Communicator::agree(std::int64_t value) {
  at::Tensor flag = at::full({1}, value, at::kLong);
  all_reduce(flag, Reduction::max)->wait();
  return flag.item<std::int64_t>();
}

std::string Communicator::broadcast_text(const std::string& text, int root) {
  at::Tensor length = at::full({1}, static_cast<std::int64_t>(text.size()), at::kLong);
  broadcast(length, root)->wait();
  at::Tensor bytes = at::empty({length.item<std::int64_t>()}, at::kByte);
  if (rank() == root && !text.empty()) std::memcpy(bytes.data_ptr(), text.data(), text.size());
  broadcast(bytes, root)->wait();
  return {static_cast<const char*>(bytes.data_ptr()), static_cast<std::size_t>(bytes.numel())};
}

std::vector<std::string> Communicator::gather_texts(const std::string& text) {
  const std::int64_t longest = agree(static_cast<std::int64_t>(text.size()));
  // Each row: the length, then the bytes.
  const std::int64_t width = longest + static_cast<std::int64_t>(sizeof(std::int64_t));
  at::Tensor row = at::zeros({width}, at::kByte);
  const auto length = static_cast<std::int64_t>(text.size());
  std::memcpy(row.data_ptr(), &length, sizeof length);
  std::memcpy(static_cast<char*>(row.data_ptr()) + sizeof length, text.data(), text.size());
  at::Tensor rows = at::empty({size() * width}, at::kByte);
  all_gather(rows, row)->wait();
  std::vector<std::string> texts;
  for (int r = 0; r < size(); ++r) {
    const char* bytes = static_cast<const char*>(rows.data_ptr()) + r * width;
    std::int64_t count = 0;
    std::memcpy(&count, bytes, sizeof count);
    texts.emplace_back(bytes + sizeof count, static_cast<std::size_t>(count));
  }
  return texts;
}

}  // namespace ganymede
