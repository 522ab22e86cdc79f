#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace ganymede {

/// What a task's input is made of, whose answer is the image: `dataset pack --pairs`.
struct PairOptions {
  enum class Kind { none, colourise, superres, inpaint };
  Kind kind = Kind::none;
  std::int64_t factor = 4;   ///< superres: pixels that become one along each axis
  double hole = 0.5;         ///< inpaint: height and width of the hole over the image's
  bool random_hole = false;  ///< inpaint: anywhere, else around the centre
};

/// Makes an input out of each uint8 image [C, H, W]:
///
///     colourise  its luma, 1 channel (ITU-R BT.601, by the integers of Pillow's convert("L"))
///     superres   averages over factor x factor pixels, each repeated over these
///     inpaint    the image with a hole, which has in each channel the mean of the pixels around it: nothing of what was
///                there shows. A random hole's place is drawn by the image's number.
class ImagePairs {
 public:
  /// Throws Error(options) where images of this shape do not allow it.
  ImagePairs(const PairOptions& options, std::int64_t channels, std::int64_t height, std::int64_t width);
  std::int64_t source_channels() const;
  /// The input of image `number`, [source_channels(), H, W] into `source`. Any thread.
  void make(std::int64_t number, std::span<const std::byte> image, std::span<std::byte> source) const;
  /// "superres by 4", for the file's provenance.
  std::string description() const;

 private:
  void colourise(std::span<const std::byte> image, std::span<std::byte> source) const;
  void blur(std::span<const std::byte> image, std::span<std::byte> source) const;
  void cut(std::int64_t number, std::span<const std::byte> image, std::span<std::byte> source) const;

  PairOptions options_;
  std::int64_t channels_, height_, width_;
  std::int64_t hole_height_ = 0, hole_width_ = 0;
};

}  // namespace ganymede
