#include "core/image_grid.h"

#include <algorithm>

#include "core/image_file.h"

namespace ganymede {
namespace {

constexpr std::int64_t gap = 2;
constexpr std::int64_t widest = 1200;
constexpr std::int64_t highest = 2400;

/// The largest factor at which `count` images of `length` pixels, with gaps, stay within `limit`; at least 1.
std::int64_t largest_factor(std::int64_t limit, std::int64_t count, std::int64_t length) {
  return std::max<std::int64_t>(1, (limit - gap * (count + 1)) / (count * length));
}

}  // namespace

at::Tensor to_bytes(const at::Tensor& images) {
  TORCH_CHECK(images.is_floating_point(), "to_bytes: images of type ", images.scalar_type());
  const at::Tensor wide = images.scalar_type() == at::kDouble ? images : images.to(at::kFloat);
  return (wide * 127.5 + 128).nan_to_num(0, 255, 0).clamp(0, 255).to(at::kByte);
}

void write_grid(const std::filesystem::path& path, const at::Tensor& images, std::int64_t columns) {
  TORCH_CHECK(images.dim() == 4 && images.numel() > 0, "write_grid: images of shape ", images.sizes());
  columns = std::clamp<std::int64_t>(columns, 1, images.size(0));
  const std::int64_t rows = (images.size(0) + columns - 1) / columns;
  const std::int64_t channels = images.size(1) < 3 ? 1 : 3;
  const std::int64_t factor = std::min(largest_factor(widest, columns, images.size(3)),
                                       largest_factor(highest, rows, images.size(2)));
  const at::Tensor shown = images.detach().narrow(1, 0, channels).cpu();
  const at::Tensor bytes = (shown.scalar_type() == at::kByte ? shown : to_bytes(shown))
                               .repeat_interleave(factor, 2)
                               .repeat_interleave(factor, 3)
                               .permute({0, 2, 3, 1});
  const std::int64_t high = bytes.size(1);
  const std::int64_t wide = bytes.size(2);
  at::Tensor sheet =
      at::full({rows * (high + gap) + gap, columns * (wide + gap) + gap, channels}, 255, at::kByte);
  for (std::int64_t i = 0; i < bytes.size(0); ++i)
    sheet.narrow(0, gap + i / columns * (high + gap), high)
        .narrow(1, gap + i % columns * (wide + gap), wide)
        .copy_(bytes[i]);
  write_png(path, {sheet.data_ptr<std::uint8_t>(), static_cast<std::size_t>(sheet.numel())}, sheet.size(1),
            sheet.size(0), channels);
}

}  // namespace ganymede
