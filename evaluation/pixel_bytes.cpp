#include "evaluation/pixel_bytes.h"

#include <ATen/ATen.h>

#include <cstring>

#include "core/error.h"
#include "core/image_grid.h"

namespace ganymede {

PixelBytes::PixelBytes(Picture shape, ValueRange range)
    : shape_(std::move(shape)), values_(shape_.type, range.low, range.high) {}

at::Tensor PixelBytes::empty(std::int64_t count) const {
  return at::empty({count, shape_.channels, shape_.height, shape_.width}, at::kByte);
}

void PixelBytes::convert(std::span<const std::byte> planes, std::string_view where,
                         const at::Tensor& image) const {
  if (shape_.type == ElementType::uint8) {
    std::memcpy(image.data_ptr<std::uint8_t>(), planes.data(), planes.size());
    return;
  }
  if (const std::int64_t bad = values_.first_bad(planes); bad >= 0)
    fail(ExitCode::dataset, "{} holds the value {}, no number or outside the range: mend the dataset", where,
         values_.value(planes, bad));
  const at::Tensor real = at::empty({shape_.height, shape_.width, shape_.channels}, at::kFloat);
  values_.convert(planes, shape_.channels, shape_.height, shape_.width, /*flip=*/false, at::kFloat,
                  real.data_ptr<float>());
  image.copy_(to_bytes(real.permute({2, 0, 1})));
}

}  // namespace ganymede
