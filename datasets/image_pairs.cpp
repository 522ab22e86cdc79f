#include "datasets/image_pairs.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "core/philox.h"
#include "datasets/picture.h"
#include "datasets/shrink.h"

namespace ganymede {

using Kind = PairOptions::Kind;

ImagePairs::ImagePairs(const PairOptions& options, std::int64_t channels, std::int64_t height,
                       std::int64_t width)
    : options_(options), channels_(channels), height_(height), width_(width) {
  if (options.kind == Kind::colourise && channels != 3)
    fail(ExitCode::options,
         "--pairs colourise takes RGB images, these have {} channels: pack with --channels 3", channels);
  if (options.kind == Kind::superres &&
      (options.factor < 2 || height % options.factor != 0 || width % options.factor != 0))
    fail(ExitCode::options,
         "--factor {} does not divide images of {} x {} pixels: give a divisor from 2 on, or --size",
         options.factor, width, height);
  if (options.kind != Kind::inpaint) return;
  const auto part = [&](std::int64_t side) {
    return std::max<std::int64_t>(1, std::llround(options.hole * static_cast<double>(side)));
  };
  hole_height_ = part(height);
  hole_width_ = part(width);
  if (!(options.hole > 0 && options.hole < 1) || (hole_height_ == height && hole_width_ == width))
    fail(ExitCode::options, "--hole {} leaves nothing of images of {} x {} pixels: give less", options.hole,
         width, height);
}

std::int64_t ImagePairs::source_channels() const {
  return options_.kind == Kind::colourise ? 1 : channels_;
}

std::string ImagePairs::description() const {
  switch (options_.kind) {
    case Kind::colourise:
      return "colourise";
    case Kind::superres:
      return fmt::format("superres by {}", options_.factor);
    case Kind::inpaint:
      return fmt::format("inpaint a hole of {} x {} {}", hole_width_, hole_height_,
                         options_.random_hole ? "anywhere" : "in the centre");
    case Kind::none:
      break;
  }
  return "none";
}

void ImagePairs::make(std::int64_t number, std::span<const std::byte> image,
                      std::span<std::byte> source) const {
  if (options_.kind == Kind::colourise) return colourise(image, source);
  if (options_.kind == Kind::superres) return blur(image, source);
  cut(number, image, source);
}

void ImagePairs::colourise(std::span<const std::byte> image, std::span<std::byte> source) const {
  Picture picture{ElementType::uint8, width_, height_, channels_};
  from_planes(image, picture);
  std::ranges::copy(with_channels(std::move(picture), 1).values, source.begin());
}

void ImagePairs::blur(std::span<const std::byte> image, std::span<std::byte> source) const {
  const std::int64_t factor = options_.factor, columns = width_ / factor;
  std::vector<std::byte> small(image.size() / static_cast<std::size_t>(factor * factor));
  shrink_image(ElementType::uint8, image, channels_, height_, width_, factor, small.data());
  auto* out = source.data();
  for (std::int64_t row = 0; row < channels_ * height_; ++row)
    for (std::int64_t x = 0; x < width_; ++x)
      *out++ = small[static_cast<std::size_t>(row / factor * columns + x / factor)];
}

void ImagePairs::cut(std::int64_t number, std::span<const std::byte> image,
                     std::span<std::byte> source) const {
  std::int64_t top = (height_ - hole_height_) / 2, left = (width_ - hole_width_) / 2;
  if (options_.random_hole) {
    const RandomStream random({.phase = "pack", .stream = "hole"});
    const auto place = [&](std::uint32_t axis, std::int64_t room) {
      return static_cast<std::int64_t>(random.bits(static_cast<std::uint64_t>(number), axis) %
                                       static_cast<std::uint64_t>(room + 1));
    };
    top = place(0, height_ - hole_height_);
    left = place(1, width_ - hole_width_);
  }
  const auto in_hole = [&](std::int64_t y, std::int64_t x) {
    return y >= top && y < top + hole_height_ && x >= left && x < left + hole_width_;
  };
  const auto around = static_cast<double>(height_ * width_ - hole_height_ * hole_width_);
  for (std::int64_t c = 0; c < channels_; ++c) {
    const auto plane = static_cast<std::size_t>(c * height_ * width_);
    double sum = 0;
    for (std::int64_t y = 0; y < height_; ++y)
      for (std::int64_t x = 0; x < width_; ++x)
        if (!in_hole(y, x))
          sum += std::to_integer<int>(image[plane + static_cast<std::size_t>(y * width_ + x)]);
    const auto mean = static_cast<std::byte>(std::lround(sum / around));
    for (std::int64_t y = 0; y < height_; ++y)
      for (std::int64_t x = 0; x < width_; ++x) {
        const std::size_t at = plane + static_cast<std::size_t>(y * width_ + x);
        source[at] = in_hole(y, x) ? mean : image[at];
      }
  }
}

}  // namespace ganymede
