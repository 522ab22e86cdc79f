#include "datasets/pixel_values.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace ganymede {
namespace {

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

at::Tensor converted(const PixelValues& values, std::span<const std::byte> bytes, at::IntArrayRef shape,
                     bool flip, at::ScalarType dtype) {
  at::Tensor out = at::empty({1, shape[0], shape[1], shape[2]},
                             at::TensorOptions(dtype).memory_format(at::MemoryFormat::ChannelsLast));
  values.convert(bytes, shape[0], shape[1], shape[2], flip, dtype, out.data_ptr());
  return out[0];
}

TEST(PixelValues, MapsBytesAsTorchDoes) {
  const PixelValues values(ElementType::uint8, 0, 255);
  std::vector<std::uint8_t> bytes(256);
  for (int i = 0; i < 256; ++i) bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(i);
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    const at::Tensor x = at::arange(256, at::kByte).to(dtype).view({4, 8, 8});
    EXPECT_TRUE(at::equal(converted(values, bytes_of(bytes), {4, 8, 8}, false, dtype), x / 127.5 - 1));
    EXPECT_TRUE(
        at::equal(converted(values, bytes_of(bytes), {4, 8, 8}, true, dtype), (x / 127.5 - 1).flip({2})));
  }
  const at::Tensor single = at::arange(256, at::kByte).to(at::kFloat).view({4, 8, 8}) / 127.5 - 1;
  for (const at::ScalarType dtype : {at::kHalf, at::kBFloat16})
    EXPECT_TRUE(at::equal(converted(values, bytes_of(bytes), {4, 8, 8}, false, dtype), single.to(dtype)));
}

// One and three channels go a fast way: every byte, at widths that leave a rest to the widest instructions.
TEST(PixelValues, MapsGreyAndColoursAsTorchDoes) {
  const PixelValues values(ElementType::uint8, 0, 255);
  for (const std::int64_t channels : {1, 3})
    for (const std::int64_t width : {1, 7, 32, 101, 256})
      for (const bool flip : {false, true}) {
        const std::int64_t height = 256 / width + 1;
        const at::Tensor x = (at::arange(channels * height * width) * 37 % 256).to(at::kByte);
        const std::span<const std::byte> bytes{static_cast<const std::byte*>(x.data_ptr()),
                                               static_cast<std::size_t>(x.numel())};
        const at::Tensor expected = x.view({channels, height, width}).to(at::kFloat) / 127.5 - 1;
        EXPECT_TRUE(at::equal(converted(values, bytes, {channels, height, width}, flip, at::kFloat),
                              flip ? expected.flip({2}) : expected))
            << channels << " channels, width " << width;
      }
}

TEST(PixelValues, MapsTheRangeOfRealValues) {
  const PixelValues values(ElementType::float32, -10, 30);
  const std::vector<float> stored = {-10, 0, 10, 20, 30, 29};
  const at::Tensor expected = at::tensor({-1., -.5, 0., .5, 1., .95}).view({1, 2, 3});
  EXPECT_TRUE(at::allclose(converted(values, bytes_of(stored), {1, 2, 3}, false, at::kDouble),
                           expected.to(at::kDouble), 0, 1e-12));
  const std::vector<at::Half> halves(stored.begin(), stored.end());
  EXPECT_TRUE(at::allclose(
      converted(PixelValues(ElementType::float16, -10, 30), bytes_of(halves), {1, 2, 3}, false, at::kFloat),
      expected.to(at::kFloat), 0, 1e-6));
}

TEST(PixelValues, FindsWhatIsNoNumberOrOutOfRange) {
  const PixelValues values(ElementType::float32, -1, 1);
  EXPECT_EQ(values.first_bad(bytes_of(std::vector<float>{-1, 0, 1})), -1);
  EXPECT_EQ(values.first_bad(bytes_of(std::vector<float>{-1, 0, std::nanf("")})), 2);
  EXPECT_EQ(values.first_bad(bytes_of(std::vector<float>{0, std::numeric_limits<float>::infinity()})), 1);
  EXPECT_EQ(values.first_bad(bytes_of(std::vector<float>{-1.001f, 0})), 0);
  EXPECT_EQ(PixelValues(ElementType::uint8, 0, 255).first_bad(bytes_of(std::vector<float>{std::nanf("")})),
            -1);
}

// 0.1 is no half: what the file holds is the nearest one, which lies below.
TEST(PixelValues, TakesBoundsRoundedToTheStoredType) {
  const PixelValues values(ElementType::float16, 0.1, 0.7);
  const std::vector<at::Half> stored = {at::Half(0.1f), at::Half(0.7f)};
  EXPECT_EQ(values.first_bad(bytes_of(stored)), -1);
  EXPECT_TRUE(at::allclose(converted(values, bytes_of(stored), {1, 1, 2}, false, at::kDouble).flatten(),
                           at::tensor({-1., 1.}, at::kDouble), 0, 1e-3));
}

}  // namespace
}  // namespace ganymede
