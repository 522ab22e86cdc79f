// Statistics and images in files.
#include <gtest/gtest.h>

#include <fstream>

#include "core/image_file.h"
#include "core/metrics/gaussian.h"
#include "evaluation/npz_file.h"
#include "evaluation/sampled_images.h"
#include "evaluation/statistics_file.h"
#include "evaluation/stored_images.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

FeatureStatistics some_statistics() {
  const at::Tensor features = at::arange(60, at::kDouble).view({12, 5}).square().remainder(17).contiguous();
  Moments moments(5);
  moments.add(features);
  return {moments.mean(), moments.covariance(), Gaussian::of(moments)};
}

TEST(NpzFile, GivesBackWhatWasWritten) {
  const TemporaryFolder folder;
  NpzContents contents;
  contents.arrays = {{"a", at::arange(6, at::kDouble).view({2, 3})},
                     {"scalar", at::full({}, 7, at::kLong)},
                     {"empty", at::zeros({0, 3}, at::kDouble)}};
  contents.texts = {{"text", "{\"a\": \"\xc3\xa9\"}"}, {"nothing", ""}};
  write_npz(folder / "a.npz", contents);
  const NpzContents read = read_npz(folder / "a.npz", {"a", "scalar", "text", "absent"});
  EXPECT_EQ(read.arrays.size(), 2u);
  EXPECT_TRUE(at::equal(read.arrays.at("a"), contents.arrays.at("a")));
  EXPECT_EQ(read.arrays.at("scalar").item<std::int64_t>(), 7);
  EXPECT_EQ(read.texts.at("text"), contents.texts.at("text"));
  EXPECT_EQ(npz_names(folder / "a.npz").size(), 5u);
}

TEST(StatisticsFile, KeepsAllThatScoresNeed) {
  const TemporaryFolder folder;
  ReferenceStatistics statistics{
      some_statistics(), std::nullopt, {{"name", "x"}, {"images", {{"count", 12}}}}};
  write_statistics(folder / "a.npz", statistics);
  EXPECT_TRUE(holds_statistics(folder / "a.npz"));
  const ReferenceStatistics read = read_statistics(folder / "a.npz");
  EXPECT_FALSE(read.spatial);
  EXPECT_EQ(read.protocol, statistics.protocol);
  EXPECT_TRUE(at::equal(read.pool->covariance, statistics.pool->covariance));
  EXPECT_TRUE(at::equal(read.pool->fitted.half, statistics.pool->fitted.half));
  EXPECT_EQ(read.pool->fitted.count, 12);
}

TEST(StatisticsFile, MakesAHalfFactorAnewThatCannotBeTrue) {
  const TemporaryFolder folder;
  const FeatureStatistics made = some_statistics();
  const at::Tensor trace = at::full({}, made.fitted.trace, at::kDouble), half = made.fitted.half;
  const auto read = [&](const at::Tensor& written, const at::Tensor& written_trace) {
    write_npz(folder / "a.npz", {.arrays = {{"mu", made.mean},
                                            {"sigma", made.covariance},
                                            {"half", written},
                                            {"trace", written_trace},
                                            {"count", at::full({}, 12, at::kLong)}},
                                 .texts = {{"protocol", "{}"}}});
    return read_statistics(folder / "a.npz").pool->fitted;
  };
  EXPECT_TRUE(at::equal(read(half, trace).half, half)) << "what is sound is taken";
  for (const auto& [bad_half, bad_trace] :
       {std::pair(half * NAN, trace), std::pair(half * 2, trace), std::pair(at::cat({half, half}, 1), trace),
        std::pair(half.narrow(0, 0, 4), trace), std::pair(half, trace * NAN), std::pair(half, trace + 1)}) {
    const Gaussian fitted = read(bad_half, bad_trace);
    EXPECT_TRUE(at::allclose(fitted.half.matmul(fitted.half.t()), made.covariance));
    EXPECT_NEAR(fitted.trace, made.fitted.trace, 1e-9);
  }
}

TEST(StatisticsFile, TakesForeignOnesAndSaysSo) {
  const TemporaryFolder folder;
  const FeatureStatistics made = some_statistics();
  write_npz(folder / "a.npz", {.arrays = {{"mu", made.mean}, {"sigma", made.covariance}}});
  const ReferenceStatistics read = read_statistics(folder / "a.npz");
  EXPECT_EQ(read.protocol["kind"], "foreign statistics");
  EXPECT_EQ(read.protocol["name"], "a.npz");
  EXPECT_EQ(read.pool->fitted.count, 0);
  EXPECT_NEAR(read.pool->fitted.trace, made.fitted.trace, 1e-12);
}

TEST(StatisticsFile, RefusesWhatIsDamaged) {
  const TemporaryFolder folder;
  const FeatureStatistics made = some_statistics();
  const auto refusal = [&](const at::Tensor& mean, const at::Tensor& covariance) {
    write_npz(folder / "a.npz", {.arrays = {{"mu", mean}, {"sigma", covariance}}});
    return expect_error(ExitCode::dataset, [&] { read_statistics(folder / "a.npz"); });
  };
  EXPECT_NE(refusal(made.mean.narrow(0, 0, 4), made.covariance).find("[D, D]"), std::string::npos);
  EXPECT_NE(refusal(made.mean * NAN, made.covariance).find("not finite"), std::string::npos);
  write_npz(folder / "a.npz", {.arrays = {{"mean", made.mean}}});
  EXPECT_FALSE(holds_statistics(folder / "a.npz"));
  expect_error(ExitCode::dataset, [&] { read_statistics(folder / "a.npz"); });
  write_npz(folder / "a.npz", {.arrays = {{"mu", made.mean}, {"sigma", made.covariance}}});
  std::filesystem::resize_file(folder / "a.npz", 200);
  expect_error(ExitCode::dataset, [&] { read_statistics(folder / "a.npz"); });
}

std::vector<std::uint8_t> ramp(std::int64_t count) {
  std::vector<std::uint8_t> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::uint8_t>(i * 7);
  return values;
}

TEST(StoredImages, ReadsWhatIsWantedOfAFolder) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "a");
  std::filesystem::create_directories(folder / "b");
  write_png(folder / "a/0.png", ramp(4 * 5), 5, 4, 1);
  write_png(folder / "a/1.png", ramp(4 * 5 * 3), 5, 4, 3);
  write_png(folder / "b/0.png", ramp(4 * 5 * 3), 5, 4, 3);
  StoredImages set(folder.path());
  EXPECT_EQ(set.size(), 3);
  EXPECT_EQ(set.description().channels, 3) << "grey is repeated";
  EXPECT_TRUE(at::equal(set.labels(), at::tensor({0, 0, 1}, at::kLong)));
  std::vector<std::int64_t> places;
  set.read({0, 2}, 1, [&](const std::vector<std::int64_t>& which, const at::Tensor& images) {
    EXPECT_EQ(images.sizes(), at::IntArrayRef({1, 3, 4, 5}));
    places.insert(places.end(), which.begin(), which.end());
    if (which.front() == 0)
      EXPECT_TRUE(at::equal(images[0][0], images[0][2]));
    else
      EXPECT_EQ(images[0][1][0][0].item<int>(), 7) << "planes of interleaved values";
  });
  EXPECT_EQ(places, std::vector<std::int64_t>({0, 1}));
}

TEST(StoredImages, NamesImagesOfAnotherSize) {
  const TemporaryFolder folder;
  write_png(folder / "0.png", ramp(4 * 5), 5, 4, 1);
  write_png(folder / "1.png", ramp(4 * 4), 4, 4, 1);
  StoredImages set(folder.path());
  const std::string message = expect_error(ExitCode::dataset, [&] {
    set.read({0, 1}, 8, [](const auto&, const at::Tensor&) {});
  });
  EXPECT_NE(message.find("1.png has 4 x 4"), std::string::npos) << message;
  EXPECT_NE(message.find("0.png has 5 x 4"), std::string::npos) << message;
}

class Numbers final : public Sampler {
 public:
  std::int64_t granularity() const override { return 4; }
  at::Tensor images(std::int64_t first, const at::Tensor& labels) override {
    EXPECT_EQ(first % 4, 0);
    EXPECT_EQ(labels.numel() % 4, 0);
    return at::arange(first, first + labels.numel(), at::kFloat).view({-1, 1, 1, 1}) / 127.5;
  }
};

TEST(SampledImages, GoThroughBytesInWholeUnits) {
  Numbers sampler;
  SampledImages set(sampler, 10, {1, 1, 1},
                    [](std::int64_t, std::int64_t n) { return at::zeros({n}, at::kLong); }, false, "run", {});
  std::vector<std::int64_t> seen;
  set.read({4, 5, 6, 7, 8, 9}, 3, [&](const std::vector<std::int64_t>& places, const at::Tensor& images) {
    EXPECT_EQ(images.scalar_type(), at::kByte);
    for (std::size_t i = 0; i < places.size(); ++i)
      seen.push_back(images[static_cast<std::int64_t>(i)].item<std::int64_t>() - 128);
  });
  EXPECT_EQ(seen, std::vector<std::int64_t>({4, 5, 6, 7, 8, 9}));
}

class Singles final : public Sampler {
 public:
  at::Tensor images(std::int64_t first, const at::Tensor& labels) override {
    return at::arange(first, first + labels.numel(), at::kFloat).view({-1, 1, 1, 1}) / 127.5;
  }
};

TEST(SampledImages, ReconstructionsAreReadSingly) {
  Singles sampler;
  SampledImages set(
      sampler, 20, {1, 1, 1}, [](std::int64_t, std::int64_t n) { return at::zeros({n}, at::kLong); }, false,
      "run", {}, "reconstructions");
  EXPECT_EQ(set.description().kind, "reconstructions");
  const std::vector<std::int64_t> indices{1, 2, 3, 7, 11, 12, 19};
  std::vector<std::int64_t> seen(indices.size(), -1);
  set.read(indices, 2, [&](const std::vector<std::int64_t>& places, const at::Tensor& images) {
    EXPECT_LE(images.size(0), 2);
    for (std::size_t i = 0; i < places.size(); ++i)
      seen[static_cast<std::size_t>(places[i])] =
          images[static_cast<std::int64_t>(i)].item<std::int64_t>() - 128;
  });
  EXPECT_EQ(seen, indices);
}

}  // namespace
}  // namespace ganymede
