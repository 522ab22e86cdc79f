#include "launch/conditions.h"

#include "tests/datasets/fixture.h"

namespace ganymede {
namespace {

constexpr std::int64_t side = 4;

class ConditionsTest : public DatasetTest {
 protected:
  /// Five images, three grey sources of which each pixel is the number, embeddings of two numbers.
  std::shared_ptr<const ImageDataset> dataset() {
    DatasetWriter writer(folder / "a.h5", {.count = 5,
                                           .channels = 3,
                                           .height = side,
                                           .width = side,
                                           .sources = {3, 1, false},
                                           .embeddings = {0, 2}});
    writer.write_images(0, random_bytes(5 * 3 * side * side));
    for (int i = 0; i < 3; ++i)
      writer.write_sources(i, std::vector<std::byte>(side * side, static_cast<std::byte>(i)));
    writer.write_embeddings(0, std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
    writer.finish();
    return std::make_shared<const ImageDataset>(open_dataset({folder / "a.h5"}));
  }
  static ImageSpec spec() {
    ImageSpec spec{3, side, side, 1};
    spec.sources = SourceImages::paired;
    spec.source_channels = 1;
    spec.embedding = 2;
    return spec;
  }
};

// What images are drawn from needs no partner: sources of any number do, also where training takes pairs.
TEST_F(ConditionsTest, GivesSamplersTheRowsOfADataset) {
  SampleOptions options;
  set_conditions(options, spec(), dataset());
  const at::Tensor sources = options.sources(2, 4);
  EXPECT_EQ(sources.sizes(), (at::IntArrayRef{4, 1, side, side}));
  const at::Tensor numbers =
      ((sources.select(3, 0).select(2, 0).flatten() + 1) * 127.5).round().to(at::kLong);
  EXPECT_TRUE(at::equal(numbers, at::tensor({2, 0, 1, 2})));
  EXPECT_TRUE(at::equal(options.embeddings(4, 2), at::tensor({8.f, 9.f, 0.f, 1.f}).view({2, 2})));

  SampleOptions plain;
  set_conditions(plain, {3, side, side, 1}, dataset());
  EXPECT_FALSE(plain.sources || plain.embeddings);
}

TEST_F(ConditionsTest, GivesAutoencodersTheImagesThemselves) {
  ImageSpec own{3, side, side, 1};
  own.sources = SourceImages::own;
  EXPECT_TRUE(draws_from_dataset(own));
  EXPECT_FALSE(draws_from_dataset({3, side, side, 1}));
  EXPECT_FALSE(needs_of(own).any());
  SampleOptions options;
  set_conditions(options, own, dataset());
  const at::Tensor images = options.sources(4, 2);
  EXPECT_EQ(images.sizes(), (at::IntArrayRef{2, 3, side, side}));
  EXPECT_TRUE(at::equal(images[1], options.sources(0, 1)[0]));
  own.channels = 1;
  EXPECT_NE(
      message_of(ExitCode::dataset, [&] { set_conditions(options, own, dataset()); }).find("3 channels"),
      std::string::npos);
}

TEST_F(ConditionsTest, RefusesOtherDatasets) {
  SampleOptions options;
  ImageSpec other = spec();
  other.embedding = 3;
  EXPECT_NE(
      message_of(ExitCode::dataset, [&] { set_conditions(options, other, dataset()); }).find("2 numbers"),
      std::string::npos);
  other = spec();
  other.height = other.width = 8;
  EXPECT_NE(
      message_of(ExitCode::dataset, [&] { set_conditions(options, other, dataset()); }).find("4 x 4 pixels"),
      std::string::npos);
}

TEST_F(ConditionsTest, ShowsSourcesBesideWhatIsMadeOfThem) {
  const at::Tensor images = at::zeros({2, 3, side, side}), grey = at::ones({2, 1, side, side});
  const at::Tensor both = beside_sources(images, grey);
  EXPECT_EQ(both.sizes(), (at::IntArrayRef{2, 3, side, 2 * side}));
  EXPECT_TRUE(at::equal(both.narrow(3, 0, side), grey.expand_as(images)));
  EXPECT_TRUE(at::equal(both.narrow(3, side, side), images));
  EXPECT_TRUE(at::equal(beside_sources(images, at::ones({2, 2, side, side})), images));
}

}  // namespace
}  // namespace ganymede
