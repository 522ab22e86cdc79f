#include "launch/draw.h"

#include <gtest/gtest.h>

#include "launch/image_sink.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

/// Image i is the number i; remembers how many it was asked for.
class Numbers final : public Sampler {
 public:
  explicit Numbers(std::int64_t unit) : unit_(unit) {}
  std::int64_t granularity() const override { return unit_; }
  at::Tensor images(std::int64_t first, const at::Tensor& labels) override {
    EXPECT_EQ(first % unit_, 0);
    EXPECT_EQ(labels.numel() % unit_, 0);
    asked.push_back(labels.numel());
    return at::arange(first, first + labels.numel(), at::kFloat).view({-1, 1, 1, 1});
  }
  std::vector<std::int64_t> asked;

 private:
  std::int64_t unit_;
};

std::vector<std::int64_t> drawn(std::int64_t count, std::int64_t batch, std::int64_t unit) {
  Process process;
  Numbers sampler(unit);
  std::vector<at::Tensor> all;
  draw(process, sampler, {.count = count, .batch = batch},
       [&](std::int64_t, const at::Tensor& images, const at::Tensor&) { all.push_back(images.flatten()); });
  EXPECT_TRUE(at::equal(at::cat(all), at::arange(count, at::kFloat)));
  return sampler.asked;
}

TEST(Draw, DrawsNoMoreThanWholeUnitsOfTheCount) {
  using Counts = std::vector<std::int64_t>;
  EXPECT_EQ(drawn(5, 64, 1), Counts({5}));
  EXPECT_EQ(drawn(130, 64, 1), Counts({64, 64, 64}));
  EXPECT_EQ(drawn(5, 64, 4), Counts({8}));
  EXPECT_EQ(drawn(20, 6, 4), Counts({8, 8, 8}));
}

TEST(GridColumns, ShowOneClassEachWhereFewAreDrawnInTurn) {
  const auto columns = [](std::int64_t count, std::int64_t classes) {
    return grid_columns({.count = count, .classes = every_class(classes)});
  };
  EXPECT_EQ(columns(64, 10), 10);
  EXPECT_EQ(columns(64, 2), 8);
  EXPECT_EQ(columns(64, 3), 6);
  EXPECT_EQ(columns(64, 0), 8) << "random classes";
  EXPECT_EQ(columns(60, 1), 8);
  EXPECT_EQ(columns(64, 17), 8);
}

TEST(ImageSink, RefusesAFolderThatHoldsSomething) {
  const TemporaryFolder folder;
  const auto make = [&] { make_image_sink(folder / "images", {.count = 1}, {1, 4, 4, 1}, "test"); };
  make();
  make();
  std::filesystem::create_directory(folder / "images/3");
  EXPECT_NE(expect_error(ExitCode::storage, make).find("not empty"), std::string::npos);
}

}  // namespace
}  // namespace ganymede
