#include "datasets/resize.h"

#include <c10/util/Half.h>
#include <gtest/gtest.h>

#include <numeric>

namespace ganymede {
namespace {

// Equality with Pillow is tested in test_pack.py; here is what needs no reference.

template <class Value>
Picture picture_of(ElementType type, std::int64_t width, std::int64_t height, std::int64_t channels,
                   const std::vector<Value>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {type, width, height, channels, {bytes.begin(), bytes.end()}};
}

template <class Value>
std::vector<Value> values_of(const Picture& picture) {
  const auto* values = reinterpret_cast<const Value*>(picture.values.data());
  return {values, values + picture.values.size() / sizeof(Value)};
}

TEST(Resize, CropsTheCentre) {
  std::vector<std::uint8_t> values(2 * 5 * 3);
  std::iota(values.begin(), values.end(), std::uint8_t{0});
  const Picture square = crop_to_square(picture_of(ElementType::uint8, 5, 2, 3, values));
  EXPECT_EQ(square.width, 2);
  EXPECT_EQ(square.height, 2);
  EXPECT_EQ(values_of<std::uint8_t>(square),
            (std::vector<std::uint8_t>{3, 4, 5, 6, 7, 8, 18, 19, 20, 21, 22, 23}));
}

TEST(Resize, BoxIsTheMeanOfAnArea) {
  const std::vector<float> values{1, 2, 3, 4, 5, 6, 7, 8};
  const Picture half = resize(picture_of(ElementType::float32, 4, 2, 1, values), 2, 1, Filter::box);
  EXPECT_EQ(values_of<float>(half), (std::vector<float>{3.5, 5.5}));
}

TEST(Resize, KeepsAConstantWhateverTheFilter) {
  for (const Filter filter : {Filter::lanczos, Filter::box}) {
    const Picture bytes =
        resize(picture_of(ElementType::uint8, 7, 9, 1, std::vector<std::uint8_t>(63, 201)), 13, 4, filter);
    EXPECT_EQ(values_of<std::uint8_t>(bytes), std::vector<std::uint8_t>(52, 201));
    const Picture halves =
        resize(picture_of(ElementType::float16, 7, 9, 2, std::vector<c10::Half>(126, c10::Half(-0.25f))), 5,
               5, filter);
    for (const c10::Half value : values_of<c10::Half>(halves)) EXPECT_NEAR(value, -0.25f, 1e-3f);
  }
}

TEST(Resize, LanczosOvershootsFloatsAndClampsBytes) {
  const Picture floats = resize(picture_of(ElementType::float32, 4, 1, 1, std::vector<float>{0, 0, 255, 255}),
                                8, 1, Filter::lanczos);
  const std::vector<float> values = values_of<float>(floats);
  EXPECT_GT(*std::max_element(values.begin(), values.end()), 260);
  const Picture bytes =
      resize(picture_of(ElementType::uint8, 4, 1, 1, std::vector<std::uint8_t>{0, 0, 255, 255}), 8, 1,
             Filter::lanczos);
  for (std::size_t i = 0; i < values.size(); ++i)
    EXPECT_NEAR(values_of<std::uint8_t>(bytes)[i], std::clamp(values[i], 0.f, 255.f), 0.51);
}

TEST(Picture, GoesToPlanesAndBack) {
  std::vector<std::uint16_t> values(3 * 4 * 5);
  std::iota(values.begin(), values.end(), std::uint16_t{0});
  const Picture picture = picture_of(ElementType::float16, 4, 3, 5, values);
  std::vector<std::byte> planes(picture.values.size());
  to_planes(picture, planes);
  EXPECT_EQ(reinterpret_cast<const std::uint16_t*>(planes.data())[12], 1);  // channel 1 of pixel 0
  Picture back{picture.type, picture.width, picture.height, picture.channels, {}};
  from_planes(planes, back);
  EXPECT_EQ(back.values, picture.values);
}

}  // namespace
}  // namespace ganymede
