#include "core/image_grid.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>

#include "core/error.h"
#include "core/image_file.h"

namespace ganymede {
namespace {

constexpr std::int64_t gap = 2;
constexpr std::int64_t widest = 1200;
constexpr std::int64_t highest = 2400;

/// The pixels along one side of a sheet: `count` images of `length` pixels, with gaps.
std::int64_t sheet_length(std::int64_t count, std::int64_t length) {
  return count * (length + gap) + gap;
}

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

void check_grid(std::int64_t count, std::int64_t columns, std::int64_t height, std::int64_t width) {
  columns = std::clamp<std::int64_t>(columns, 1, count);
  const std::int64_t rows = (count + columns - 1) / columns;
  const std::int64_t most_rows = (most_pixels / sheet_length(columns, width) - gap) / (height + gap);
  if (rows <= most_rows) return;
  const std::string remedy =
      most_rows > 0 ? fmt::format("at most {} images", most_rows * columns) : "fewer images a row";
  fail(ExitCode::options,
       "a sheet of {} images of {} x {} pixels, {} a row, has more than the {} pixels of a "
       "PNG: draw {}",
       count, width, height, columns, most_pixels, remedy);
}

void write_grid(const std::filesystem::path& path, const at::Tensor& images, std::int64_t columns) {
  TORCH_CHECK(images.dim() == 4 && images.numel() > 0, "write_grid: images of shape ", images.sizes());
  check_grid(images.size(0), columns, images.size(2), images.size(3));
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
      at::full({sheet_length(rows, high), sheet_length(columns, wide), channels}, 255, at::kByte);
  for (std::int64_t i = 0; i < bytes.size(0); ++i)
    sheet.narrow(0, gap + i / columns * (high + gap), high)
        .narrow(1, gap + i % columns * (wide + gap), wide)
        .copy_(bytes[i]);
  write_png(path, {sheet.data_ptr<std::uint8_t>(), static_cast<std::size_t>(sheet.numel())}, sheet.size(1),
            sheet.size(0), channels);
}

}  // namespace ganymede
