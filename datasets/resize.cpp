#include "datasets/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <type_traits>
#include <vector>

namespace ganymede {
namespace {

double sinc(double x) {
  if (x == 0) return 1;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double weight(Filter filter, double distance) {
  if (filter == Filter::box) return distance > -0.5 && distance <= 0.5 ? 1 : 0;
  return distance >= -3 && distance < 3 ? sinc(distance) * sinc(distance / 3) : 0;
}

/// For every output position the first input position that counts, and the weights from there on.
struct Taps {
  struct Run {
    std::int64_t first, count;
  };
  std::vector<Run> runs;
  std::int64_t width = 0;  ///< the weights of output i begin at i * width
  std::vector<double> weights;
};

Taps taps_for(std::int64_t input, std::int64_t output, Filter filter) {
  const double scale = static_cast<double>(input) / static_cast<double>(output);
  const double stretch = std::max(scale, 1.0);
  const double reach = (filter == Filter::box ? 0.5 : 3.0) * stretch;
  Taps taps;
  taps.width = static_cast<std::int64_t>(std::ceil(reach)) * 2 + 1;
  taps.weights.resize(static_cast<std::size_t>(output * taps.width));
  for (std::int64_t i = 0; i < output; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const std::int64_t first = std::max<std::int64_t>(0, static_cast<std::int64_t>(centre - reach + 0.5));
    const std::int64_t end = std::min(input, static_cast<std::int64_t>(centre + reach + 0.5));
    double* weights = taps.weights.data() + i * taps.width;
    double total = 0;
    for (std::int64_t k = 0; k < end - first; ++k) {
      weights[k] = weight(filter, (static_cast<double>(k + first) - centre + 0.5) * (1.0 / stretch));
      total += weights[k];
    }
    for (std::int64_t k = 0; k < end - first && total != 0; ++k) weights[k] /= total;
    taps.runs.push_back({first, end - first});
  }
  return taps;
}

/// Bytes: weights as integers of 2^-22, so that 8 bits of value and 2 of overshoot fit in 32.
struct ByteArithmetic {
  using Value = std::uint8_t;
  using Sum = std::int32_t;
  static constexpr int bits = 22;
  static constexpr Sum start = 1 << (bits - 1);
  static Sum weight(double w) { return static_cast<Sum>(std::round(w * (1 << bits))); }
  static Value value(Sum sum) { return static_cast<Value>(std::clamp(sum >> bits, 0, 255)); }
};

struct FloatArithmetic {
  using Value = float;
  using Sum = double;
  static constexpr Sum start = 0;
  static Sum weight(double w) { return w; }
  static Value value(Sum sum) { return static_cast<Value>(sum); }
};

template <class Arithmetic>
struct Plane {
  std::int64_t width, height, channels;
  std::vector<typename Arithmetic::Value> values;
};

template <class Arithmetic>
std::vector<typename Arithmetic::Sum> weights_of(const Taps& taps) {
  std::vector<typename Arithmetic::Sum> weights(taps.weights.size());
  std::transform(taps.weights.begin(), taps.weights.end(), weights.begin(), Arithmetic::weight);
  return weights;
}

template <class Arithmetic>
Plane<Arithmetic> resize_rows(const Plane<Arithmetic>& in, std::int64_t width, Filter filter) {
  const Taps taps = taps_for(in.width, width, filter);
  const auto weights = weights_of<Arithmetic>(taps);
  Plane<Arithmetic> out{width, in.height, in.channels, {}};
  out.values.resize(static_cast<std::size_t>(width * in.height * in.channels));
  auto* to = out.values.data();
  for (std::int64_t y = 0; y < in.height; ++y) {
    const auto* row = in.values.data() + y * in.width * in.channels;
    for (std::int64_t x = 0; x < width; ++x) {
      const Taps::Run run = taps.runs[static_cast<std::size_t>(x)];
      const auto* w = weights.data() + x * taps.width;
      for (std::int64_t c = 0; c < in.channels; ++c) {
        const auto* from = row + run.first * in.channels + c;
        typename Arithmetic::Sum sum = Arithmetic::start;
        for (std::int64_t k = 0; k < run.count; ++k) sum += from[k * in.channels] * w[k];
        *to++ = Arithmetic::value(sum);
      }
    }
  }
  return out;
}

template <class Arithmetic>
Plane<Arithmetic> resize_columns(const Plane<Arithmetic>& in, std::int64_t height, Filter filter) {
  const Taps taps = taps_for(in.height, height, filter);
  const auto weights = weights_of<Arithmetic>(taps);
  const std::int64_t stride = in.width * in.channels;
  Plane<Arithmetic> out{in.width, height, in.channels, {}};
  out.values.resize(static_cast<std::size_t>(stride * height));
  std::vector<typename Arithmetic::Sum> sums(static_cast<std::size_t>(stride));
  for (std::int64_t y = 0; y < height; ++y) {
    const Taps::Run run = taps.runs[static_cast<std::size_t>(y)];
    std::fill(sums.begin(), sums.end(), Arithmetic::start);
    for (std::int64_t k = 0; k < run.count; ++k) {
      const auto* from = in.values.data() + (run.first + k) * stride;
      const auto w = weights[static_cast<std::size_t>(y * taps.width + k)];
      for (std::int64_t i = 0; i < stride; ++i) sums[static_cast<std::size_t>(i)] += from[i] * w;
    }
    std::transform(sums.begin(), sums.end(), out.values.begin() + y * stride, Arithmetic::value);
  }
  return out;
}

template <class Arithmetic>
Plane<Arithmetic> resize(Plane<Arithmetic> plane, std::int64_t width, std::int64_t height, Filter filter) {
  // Pillow 13's rule: each pass rounds, so the order shows in the result.
  const bool columns_first = plane.height - height > 2 * std::max<std::int64_t>(0, plane.width - width);
  if (columns_first) plane = resize_columns(plane, height, filter);
  if (width != plane.width) plane = resize_rows(plane, width, filter);
  if (height != plane.height) plane = resize_columns(plane, height, filter);
  return plane;
}

/// Reads the picture's values as `Stored`, resizes them, and writes them back.
template <class Arithmetic, class Stored>
Picture resize_as(const Picture& picture, std::int64_t width, std::int64_t height, Filter filter) {
  Plane<Arithmetic> plane{picture.width, picture.height, picture.channels, {}};
  const auto* stored = reinterpret_cast<const Stored*>(picture.values.data());
  plane.values.assign(stored, stored + picture.values.size() / sizeof(Stored));
  plane = resize(std::move(plane), width, height, filter);
  Picture result{picture.type, width, height, picture.channels, {}};
  result.values.resize(static_cast<std::size_t>(result.bytes()));
  std::copy(plane.values.begin(), plane.values.end(), reinterpret_cast<Stored*>(result.values.data()));
  return result;
}

}  // namespace

Picture crop_to_square(Picture picture) {
  if (picture.width == picture.height) return picture;
  const std::int64_t side = std::min(picture.width, picture.height);
  const std::int64_t left = (picture.width - side) / 2;
  const std::int64_t top = (picture.height - side) / 2;
  const std::int64_t pixel = picture.channels * size_of(picture.type);
  Picture square{picture.type, side, side, picture.channels, {}};
  square.values.resize(static_cast<std::size_t>(square.bytes()));
  for (std::int64_t y = 0; y < side; ++y)
    std::memcpy(square.values.data() + y * side * pixel,
                picture.values.data() + ((top + y) * picture.width + left) * pixel,
                static_cast<std::size_t>(side * pixel));
  return square;
}

Picture resize(Picture picture, std::int64_t width, std::int64_t height, Filter filter) {
  if (width == picture.width && height == picture.height) return picture;
  return with_type(picture.type, [&](auto stored) {
    using Stored = decltype(stored);
    using Arithmetic =
        std::conditional_t<std::is_same_v<Stored, std::uint8_t>, ByteArithmetic, FloatArithmetic>;
    return resize_as<Arithmetic, Stored>(picture, width, height, filter);
  });
}

}  // namespace ganymede
