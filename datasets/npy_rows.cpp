#include "datasets/npy_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "datasets/element_type.h"

namespace ganymede {
namespace {

ElementType real_type(const NpyHeader& header) {
  return header.item_bytes == 2   ? ElementType::float16
         : header.item_bytes == 4 ? ElementType::float32
                                  : ElementType::float64;
}

}  // namespace

NpyRows::NpyRows(const std::filesystem::path& path)
    : path_(path), file_(with_code(ExitCode::dataset, [&] { return File::open_for_reading(path); })) {
  const std::int64_t size = file_.size();
  header_ = read_npy_header(
      [&](std::span<std::byte> bytes) {
        const auto left = static_cast<std::size_t>(size - begin_);
        const std::span<std::byte> part = bytes.first(std::min(bytes.size(), left));
        file_.read_at(begin_, part);
        begin_ += static_cast<std::int64_t>(part.size());
        return part.size();
      },
      path.string());
  if (header_.kind != 'f' || (header_.item_bytes != 2 && header_.item_bytes != 4 && header_.item_bytes != 8))
    fail(ExitCode::dataset, "{} is {}: save array.astype('float32')", path.string(), header_.description());
  if (header_.shape.empty() || header_.count() == 0)
    fail(ExitCode::dataset, "{} is {}: expected rows of numbers", path.string(), header_.description());
  if (size - begin_ != header_.bytes())
    fail(ExitCode::dataset, "{} holds {} bytes, {} expected of {}: save it again", path.string(),
         size - begin_, header_.bytes(), header_.description());
}

std::vector<float> NpyRows::read(std::int64_t first, std::int64_t count) const {
  const std::int64_t row = width();
  std::vector<std::byte> bytes(static_cast<std::size_t>(count * row * header_.item_bytes));
  file_.read_at(begin_ + first * row * header_.item_bytes, bytes);
  std::vector<float> values(static_cast<std::size_t>(count * row));
  with_type(real_type(header_), [&](auto stored) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::memcpy(&stored, bytes.data() + i * sizeof stored, sizeof stored);
      values[i] = static_cast<float>(stored);
      if (!std::isfinite(values[i]))
        fail(ExitCode::dataset, "{}: row {} holds a number that is not finite in float32: mend or remove it",
             path_.string(), first + static_cast<std::int64_t>(i) / row);
    }
  });
  return values;
}

}  // namespace ganymede
