#pragma once

#include <cstdint>
#include <string_view>

#include "datasets/picture.h"

namespace ganymede {

/// How pixels are weighted when an image is resized. Over a distance d in units of the coarser of both grids:
/// lanczos sinc(d) sinc(d / 3) for |d| < 3, sharp, may overshoot; box 1 for |d| <= 1/2, the plain mean of an
/// area.
enum class Filter { lanczos, box };

constexpr std::string_view name_of(Filter filter) {
  return filter == Filter::lanczos ? "lanczos" : "box";
}

/// The largest square around the centre; of an odd margin the smaller half is cut at the left and the top.
Picture crop_to_square(Picture picture);

/// Resizes by the arithmetic of Pillow's Image.resize(size, filter), so that files packed by either are
/// alike: one pass over rows, then one over columns (the other way round where the height shrinks by more
/// than twice what the width does, as in Pillow from 13 on); bytes with 22-bit fixed-point weights, rounded
/// and clamped after each pass; float32 in double, rounded to float after each pass (Pillow's mode F);
/// float16 by way of float32. An image that has the size already is returned as it is. Lanczos may leave the
/// range of floating point values.
Picture resize(Picture picture, std::int64_t width, std::int64_t height, Filter filter);

}  // namespace ganymede
