#include "models/features/feature_resize.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>

#include "core/device.h"
#include "core/error.h"
#include "core/kernels/cpu/vector.h"

namespace ganymede {
namespace {

constexpr std::int64_t channels = 3;

constexpr std::pair<FeatureResize, std::string_view> names[] = {
    {FeatureResize::pytorch, "pytorch"}, {FeatureResize::tf1, "tf1"},   {FeatureResize::clean, "clean"},
    {FeatureResize::pillow, "pillow"},   {FeatureResize::none, "none"},
};

ResizeTaps bilinear_taps(FeatureResize mode, std::int64_t input, std::int64_t output) {
  ResizeTaps taps;
  taps.width = std::min<std::int64_t>(2, input);
  const double ratio = static_cast<double>(input) / static_cast<double>(output);
  const double half = mode == FeatureResize::pytorch ? 0.5 : 0;
  for (std::int64_t i = 0; i < output; ++i) {
    const double source = std::max(0.0, (static_cast<double>(i) + half) * ratio - half);
    const auto lower = std::min(static_cast<std::int64_t>(source), input - 1);
    const std::int64_t first = std::min(lower, input - taps.width);
    const double beyond = lower + 1 < input ? source - static_cast<double>(lower) : 0;
    for (std::int64_t k = 0; k < taps.width; ++k)
      taps.weight.push_back(static_cast<float>(first + k == lower       ? 1 - beyond
                                               : first + k == lower + 1 ? beyond
                                                                        : 0));
    taps.first.push_back(first);
  }
  return taps;
}

/// R. G. Keys, "Cubic convolution interpolation for digital image processing", 1981, with a = -1/2.
double cubic(double x) {
  x = std::abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return ((-0.5 * x + 2.5) * x - 4) * x + 2;
  return 0;
}

ResizeTaps cubic_taps(std::int64_t input, std::int64_t output) {
  const double ratio = static_cast<double>(input) / static_cast<double>(output);
  const double stretch = std::max(ratio, 1.0), reach = 2 * stretch;
  ResizeTaps taps;
  taps.width = std::min(input, static_cast<std::int64_t>(std::ceil(reach)) * 2 + 1);
  std::vector<double> row(static_cast<std::size_t>(taps.width));
  for (std::int64_t i = 0; i < output; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * ratio;
    const auto begin = std::max<std::int64_t>(0, static_cast<std::int64_t>(centre - reach + 0.5));
    const auto end = std::min(input, static_cast<std::int64_t>(centre + reach + 0.5));
    const std::int64_t first = std::min(begin, input - taps.width);
    double total = 0;
    for (std::int64_t k = 0; k < taps.width; ++k) {
      const std::int64_t at = first + k;
      const bool inside = at >= begin && at < end;
      const double distance = (static_cast<double>(at) + 0.5 - centre) / stretch;
      total += row[static_cast<std::size_t>(k)] = inside ? cubic(distance) : 0;
    }
    for (const double weight : row) taps.weight.push_back(static_cast<float>(weight / total));
    taps.first.push_back(first);
  }
  return taps;
}

/// Along x: `rows` rows of `in` to outputs `step` apart.
GANYMEDE_VECTOR_CLONES void resize_rows(const float* in, std::int64_t rows, std::int64_t in_width,
                                        const ResizeTaps& taps, float* out, std::int64_t step) {
  const auto out_width = static_cast<std::int64_t>(taps.first.size());
  const std::int64_t width = taps.width;
  const std::int64_t* first = taps.first.data();
  for (std::int64_t y = 0; y < rows; ++y, in += in_width, out += out_width * step)
    if (width == 2) {
      for (std::int64_t x = 0; x < out_width; ++x)
        out[x * step] = in[first[x]] * taps.weight[static_cast<std::size_t>(2 * x)] +
                        in[first[x] + 1] * taps.weight[static_cast<std::size_t>(2 * x + 1)];
    } else {
      const float* weight = taps.weight.data();
      for (std::int64_t x = 0; x < out_width; ++x, weight += width) {
        float sum = 0;
        for (std::int64_t k = 0; k < width; ++k) sum += in[first[x] + k] * weight[k];
        out[x * step] = sum;
      }
    }
}

/// Along y: rows of `row` values.
GANYMEDE_VECTOR_CLONES void resize_columns(const float* in, std::int64_t row, const ResizeTaps& taps,
                                           float* out) {
  const auto out_height = static_cast<std::int64_t>(taps.first.size());
  const float* weight = taps.weight.data();
  for (std::int64_t y = 0; y < out_height; ++y, weight += taps.width, out += row) {
    const float* from = in + taps.first[static_cast<std::size_t>(y)] * row;
    for (std::int64_t x = 0; x < row; ++x) out[x] = from[x] * weight[0];
    for (std::int64_t k = 1; k < taps.width; ++k)
      for (std::int64_t x = 0; x < row; ++x) out[x] += from[k * row + x] * weight[k];
  }
}

GANYMEDE_VECTOR_CLONES void to_floats(const std::uint8_t* in, std::int64_t count, float* out) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(in[i]);
}

void round_to_bytes(std::vector<float>& values) {
  for (float& value : values) value = std::floor(std::clamp(value, 0.0f, 255.0f) + 0.5f);
}

/// One image at a time; the passes' buffers are kept between images.
class HostResize {
 public:
  HostResize(const at::Tensor& images, std::int64_t size, FeatureResize mode)
      : grey_(images.size(1) == 1),
        height_(images.size(2)),
        width_(images.size(3)),
        size_(size),
        rounds_(mode == FeatureResize::pillow),
        across_(resize_taps(mode, width_, size)),
        down_(resize_taps(mode, height_, size)) {}

  std::int64_t bytes_an_image() const { return (grey_ ? 1 : channels) * height_ * width_; }

  /// `out` [size, size, 3].
  void resize(const std::uint8_t* image, float* out) {
    const std::int64_t plane = height_ * width_;
    plane_.resize(static_cast<std::size_t>(plane));
    const bool columns_first = shrinks_columns_first();
    middle_.resize(static_cast<std::size_t>(columns_first ? size_ * width_ : height_ * size_ * channels));
    for (std::int64_t c = 0; c < channels; ++c) {
      to_floats(image + (grey_ ? 0 : c * plane), plane, plane_.data());
      if (columns_first) {
        resize_columns(plane_.data(), width_, down_, middle_.data());
        if (rounds_) round_to_bytes(middle_);
        resize_rows(middle_.data(), size_, width_, across_, out + c, channels);
      } else {
        resize_rows(plane_.data(), height_, width_, across_, middle_.data() + c, channels);
      }
    }
    if (columns_first) return;
    if (rounds_) round_to_bytes(middle_);
    resize_columns(middle_.data(), size_ * channels, down_, out);
  }

 private:
  /// Rows first would touch every row of a tall image. Where passes round, the order shows in the result: it
  /// is that of Pillow 13.
  bool shrinks_columns_first() const {
    if (rounds_) return height_ - size_ > 2 * std::max<std::int64_t>(0, width_ - size_);
    return height_ > size_;
  }

  bool grey_;
  std::int64_t height_, width_, size_;
  bool rounds_;
  ResizeTaps across_, down_;
  std::vector<float> plane_, middle_;
};

GANYMEDE_VECTOR_CLONES void scale_pixels(float* pixels, std::int64_t count, const float* factor,
                                         const float* offset) {
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t c = 0; c < channels; ++c)
      pixels[i * channels + c] = pixels[i * channels + c] * factor[c] + offset[c];
}

/// [output, input] with the taps in place.
at::Tensor matrix_of(const ResizeTaps& taps, std::int64_t input) {
  const auto output = static_cast<std::int64_t>(taps.first.size());
  at::Tensor matrix = at::zeros({output, input});
  float* row = matrix.data_ptr<float>();
  for (std::int64_t i = 0; i < output; ++i, row += input)
    for (std::int64_t k = 0; k < taps.width; ++k)
      row[taps.first[static_cast<std::size_t>(i)] + k] =
          taps.weight[static_cast<std::size_t>(i * taps.width + k)];
  return matrix;
}

at::Tensor as_column(const std::array<double, 3>& values, at::Device device) {
  return at::tensor(at::ArrayRef<double>(values), at::kFloat).view({1, channels, 1, 1}).to(device);
}

}  // namespace

PixelScale symmetric_scale() {
  return {{2 / 255.0, 2 / 255.0, 2 / 255.0}, {-1, -1, -1}};
}

PixelScale tensorflow_scale() {
  return {{1 / 128.0, 1 / 128.0, 1 / 128.0}, {-1, -1, -1}};
}

PixelScale imagenet_scale() {
  constexpr std::array<double, 3> mean{0.485, 0.456, 0.406}, deviation{0.229, 0.224, 0.225};
  PixelScale scale{};
  for (std::size_t c = 0; c < 3; ++c) {
    scale.factor[c] = 1 / (255 * deviation[c]);
    scale.offset[c] = -mean[c] / deviation[c];
  }
  return scale;
}

std::string_view name_of(FeatureResize mode) {
  return std::ranges::find(names, mode, [](const auto& entry) { return entry.first; })->second;
}

FeatureResize feature_resize(const std::string& name) {
  for (const auto& [mode, known] : names)
    if (name == known) return mode;
  std::vector<std::string_view> known;
  for (const auto& entry : names) known.push_back(entry.second);
  fail(ExitCode::options, "resize = '{}' is not known: give one of {}", name, fmt::join(known, ", "));
}

ResizeTaps resize_taps(FeatureResize mode, std::int64_t input, std::int64_t output) {
  TORCH_CHECK(input > 0 && output > 0, "resize from ", input, " to ", output);
  switch (mode) {
    case FeatureResize::pytorch:
    case FeatureResize::tf1:
      return bilinear_taps(mode, input, output);
    case FeatureResize::none:  // of equal sizes
    case FeatureResize::clean:
    case FeatureResize::pillow:
      break;
  }
  return cubic_taps(input, output);
}

FeatureResizer::FeatureResizer(FeatureResize mode, std::int64_t size, const PixelScale& scale)
    : mode_(mode), size_(size), scale_(scale) {}

at::Tensor FeatureResizer::operator()(const at::Tensor& images, at::Device device) const {
  if (mode_ == FeatureResize::none && (images.size(2) != size_ || images.size(3) != size_))
    fail(ExitCode::options,
         "resize = none, but images of {}x{} are not of the {}x{} that the features' network looks at: give "
         "another resize",
         images.size(3), images.size(2), size_, size_);
  // pillow rounds between the axes, which matrices do not: it stays on the host.
  if (device.is_cpu() || mode_ == FeatureResize::pillow) return to_device(on_host(images), device);
  return on_device(to_device(images, device));
}

at::Tensor FeatureResizer::on_host(const at::Tensor& images) const {
  const at::Tensor planes = images.contiguous();
  const std::int64_t pixels = size_ * size_;
  at::Tensor result = at::empty({images.size(0), channels, size_, size_},
                                at::TensorOptions(at::kFloat).memory_format(at::MemoryFormat::ChannelsLast));
  const std::uint8_t* in = planes.const_data_ptr<std::uint8_t>();
  float* out = result.data_ptr<float>();
  std::array<float, 3> factor{}, offset{};
  std::ranges::copy(scale_.factor, factor.begin());
  std::ranges::copy(scale_.offset, offset.begin());
  at::parallel_for(0, images.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
    HostResize host(images, size_, mode_);
    for (std::int64_t i = begin; i < end; ++i) {
      float* image = out + i * pixels * channels;
      host.resize(in + i * host.bytes_an_image(), image);
      if (mode_ == FeatureResize::pillow)
        for (std::int64_t k = 0; k < pixels * channels; ++k)
          image[k] = std::floor(std::clamp(image[k], 0.0f, 255.0f) + 0.5f);
      scale_pixels(image, pixels, factor.data(), offset.data());
    }
  });
  return result;
}

at::Tensor FeatureResizer::on_device(const at::Tensor& images) const {
  const at::Device device = images.device();
  const at::Tensor across = matrix_of(resize_taps(mode_, images.size(3), size_), images.size(3)).to(device);
  const at::Tensor down = matrix_of(resize_taps(mode_, images.size(2), size_), images.size(2)).to(device);
  at::Tensor x = at::matmul(down, at::matmul(images.to(at::kFloat), across.t()));
  x = x * as_column(scale_.factor, device) + as_column(scale_.offset, device);
  return x.contiguous(at::MemoryFormat::ChannelsLast);
}

}  // namespace ganymede
