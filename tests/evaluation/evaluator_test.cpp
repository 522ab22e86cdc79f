#include "evaluation/evaluator.h"

#include <gtest/gtest.h>

#include <fstream>

#include "core/metrics/frechet.h"
#include "core/metrics/image_similarity.h"
#include "core/metrics/inception_score.h"
#include "core/metrics/kernel_distance.h"
#include "core/metrics/manifold_scores.h"
#include "core/metrics/sliced_wasserstein.h"
#include "datasets/keyed_permutation.h"
#include "evaluation/statistics_file.h"
#include "models/features/lpips.h"
#include "tests/core/temporary_folder.h"
#include "tests/distributed/world.h"
#include "tests/evaluation/small_sets.h"

namespace ganymede {
namespace {

using test::LinearExtractor;
using test::TensorImages;
using test::world;

std::vector<const Metric*> named(const std::vector<std::string>& names) {
  std::vector<const Metric*> chosen;
  for (const std::string& name : names) chosen.push_back(&find_metric(name));
  return chosen;
}

std::map<std::string, double> values_of(const Evaluation& evaluation) {
  std::map<std::string, double> values;
  for (const Score& score : evaluation.scores) values[score.name] = score.value;
  return values;
}

Evaluation evaluate(const std::vector<std::string>& names, const at::Tensor& images,
                    const at::Tensor& reference, EvaluatorOptions options = {},
                    std::int64_t dimensions = 24) {
  options.metrics = named(names);
  LinearExtractor extractor(dimensions);
  TensorImages scored(images, test::labels_in_turn(images.size(0)));
  TensorImages real(reference, test::labels_in_turn(reference.size(0)));
  Evaluator evaluator(world(), extractor, options);
  evaluator.set_reference(real);
  evaluator.check(scored, 0);
  return evaluator.evaluate(scored, 0);
}

double fid(const at::Tensor& images, const at::Tensor& reference, std::int64_t dimensions = 24) {
  return evaluate({"fid"}, images, reference, {.blocks = 1}, dimensions).scores.front().value;
}

/// Every score against the same figure from all features at once.
TEST(Evaluator, ScoresAreTheSameAtAnyRankCountAndBatchSize) {
  const std::int64_t n = 1001, m = 700;
  const at::Tensor images = test::patterned_images(n, 1, 40), reference = test::patterned_images(m, 2);
  LinearExtractor extractor;
  const Features x = extractor.extract(images, {.pool = true, .spatial = true, .logits = true});
  const Features y = extractor.extract(reference, {.pool = true, .spatial = true, .logits = true});
  std::map<std::string, double> expected;
  expected["fid"] = frechet_distance(Gaussian::of_features(x.pool), Gaussian::of_features(y.pool)).value;
  expected["sfid"] =
      frechet_distance(Gaussian::of_features(x.spatial), Gaussian::of_features(y.spatial)).value;
  const RandomKey key{.seed = 5, .phase = "evaluate", .layer = "kid", .stream = "images"};
  RandomKey real_key = key;
  real_key.stream = "reference";
  expected["kid"] =
      kernel_distance(x.pool, y.pool, draw_subsets(key, n, 6, 100), draw_subsets(real_key, m, 6, 100)).mean;
  const ManifoldScores k3 = manifold_scores(y.pool, x.pool, 3), k5 = manifold_scores(y.pool, x.pool, 5);
  expected.insert({{"precision", k3.precision},
                   {"recall", k3.recall},
                   {"density", k5.density},
                   {"coverage", k5.coverage}});
  InceptionScore inception(n, 10, 10);
  at::Tensor places = at::arange(n, at::kLong);
  for (std::int64_t i = 0; i < n; ++i) places[i] = KeyedPermutation(n, 5)(i);
  inception.add(x.logits, places);
  expected["is"] = inception.result().mean;
  double intra = 0;
  for (std::int64_t c = 0; c < 5; ++c)
    intra += frechet_distance(Gaussian::of_features(x.pool.slice(0, c, n, 5).contiguous()),
                              Gaussian::of_features(y.pool.slice(0, c, m, 5).contiguous()))
                 .value;
  expected["intra-fid"] = intra / 5;

  for (const std::int64_t batch : {1, 7, 64}) {
    EvaluatorOptions options{.batch = batch, .seed = 5};
    options.metric = {.seed = 5, .kid_subsets = 6, .kid_subset_size = 100};
    const Evaluation evaluation =
        evaluate({"fid", "sfid", "kid", "is", "pr", "dc", "intra-fid"}, images, reference, options);
    const auto values = values_of(evaluation);
    ASSERT_EQ(values.size(), expected.size());
    for (const auto& [name, value] : expected)
      EXPECT_NEAR(values.at(name) / value, 1, 1e-9) << name << " batch " << batch;
    EXPECT_GT(*evaluation.scores.front().error, 0);
  }
}

TEST(Evaluator, ScoresOfPixelsAreTheSameToo) {
  const std::int64_t n = 70;
  const at::Tensor images = test::patterned_images(n, 1, 40), reference = test::patterned_images(n, 2);
  const double swd = sliced_wasserstein(reference, images, {.seed = 5, .phase = "evaluate"}).mean * 1000;
  const RandomKey key{.seed = 5, .phase = "evaluate", .layer = "ms-ssim", .stream = "pairs"};
  const at::Tensor pairs = draw_pairs(key, n, 100);
  const double likeness =
      ms_ssim(images.index_select(0, pairs.select(1, 0)), images.index_select(0, pairs.select(1, 1)))
          .mean()
          .item<double>();
  EvaluatorOptions options{.batch = 7, .seed = 5};
  options.metric = {.seed = 5, .pairs = 100};
  const auto values = values_of(evaluate({"swd", "ms-ssim"}, images, reference, options));
  EXPECT_NEAR(values.at("swd") / swd, 1, 1e-5);
  EXPECT_NEAR(values.at("ms-ssim") / likeness, 1, 1e-9);
  EXPECT_GT(swd, 0);
}

TEST(Evaluator, ComparesReconstructionsImageByImage) {
  const std::int64_t n = 37;
  const at::Tensor originals = test::patterned_images(n, 2);
  at::Tensor images = originals.clone();
  images.slice(0, 1, n).bitwise_xor_(test::patterned_images(n - 1, 3).div(32, "floor"));
  EvaluatorOptions options{.batch = 7, .blocks = 1};
  const auto network = test::random_lpips();
  options.metric.lpips = network.get();
  const Evaluation evaluation =
      evaluate({"psnr", "ssim", "lpips", "rfid", "fid"}, images, originals, options);
  const auto values = values_of(evaluation);
  const at::Tensor changed = images.slice(0, 1, n), of = originals.slice(0, 1, n);
  EXPECT_NEAR(values.at("psnr"), psnr(changed, of).mean().item<double>(), 1e-9);
  EXPECT_EQ(evaluation.scores.front().details["equal"], 1) << "the first pair";
  EXPECT_EQ(evaluation.scores.front().details["pairs"], n);
  EXPECT_NEAR(values.at("ssim"), ssim(images, originals).mean().item<double>(), 1e-12);
  EXPECT_EQ(values.at("rfid"), values.at("fid"));
  const auto pixels = [](const at::Tensor& bytes) { return bytes.to(at::kFloat) / 127.5 - 1; };
  const double distance = network->distance(pixels(images), pixels(originals)).mean().item<double>();
  EXPECT_GT(distance, 0);
  EXPECT_NEAR(values.at("lpips") / distance, 1, 1e-4);

  options.metric.lpips = nullptr;
  const std::string message =
      expect_error(ExitCode::options, [&] { evaluate({"lpips"}, images, originals, options); });
  EXPECT_NE(message.find("--lpips"), message.npos) << message;
}

TEST(Evaluator, IdenticalSetsScoreZero) {
  const at::Tensor images = test::patterned_images(500, 1);
  EXPECT_NEAR(fid(images, images), 0, 1e-9);
  const auto values = values_of(evaluate({"pr", "dc", "memorisation"}, images, images));
  EXPECT_EQ(values.at("precision"), 1);
  EXPECT_EQ(values.at("recall"), 1);
  EXPECT_EQ(values.at("coverage"), 1);
  EXPECT_EQ(values.at("memorisation"), 1) << "each is at distance 0 of a reference image";
}

TEST(Evaluator, WorseImagesScoreWorse) {
  const at::Tensor reference = test::patterned_images(600, 2);
  double before = fid(test::patterned_images(600, 1), reference);
  for (const double noise : {40., 55., 80.}) {
    const double now = fid(test::patterned_images(600, 1, noise), reference);
    EXPECT_GT(now, before) << "noise " << noise;
    before = now;
  }
  before = fid(test::patterned_images(600, 1), reference);
  const at::Tensor sharp = test::patterned_images(600, 1).to(at::kFloat);
  for (const std::int64_t width : {3, 5, 7}) {
    const at::Tensor blurred =
        at::avg_pool2d(sharp, {width, width}, {1, 1}, {width / 2, width / 2}, false, false);
    const double now = fid(blurred.to(at::kByte), reference);
    EXPECT_GT(now, before) << "blur " << width;
    before = now;
  }
  before = fid(test::patterned_images(600, 1), reference);
  for (const std::int64_t classes : {4, 3, 2}) {
    const at::Tensor kept = test::labels_in_turn(600).lt(classes).nonzero().flatten();
    const double now = fid(test::patterned_images(600, 1).index_select(0, kept), reference);
    EXPECT_GT(now, before) << "classes " << classes;
    before = now;
  }
}

TEST(Evaluator, FewImagesGiveANumberAndAWarning) {
  const std::int64_t dimensions = 150;
  const at::Tensor images = test::patterned_images(60, 1), reference = test::patterned_images(100, 2);
  const Evaluation evaluation = evaluate({"fid"}, images, reference, {}, dimensions);
  ASSERT_EQ(evaluation.warnings.size(), 2u);
  EXPECT_NE(evaluation.warnings[0].find("60 images for 150 dimensions"), std::string::npos);
  LinearExtractor extractor(dimensions);
  const at::Tensor x = extractor.extract(images, {}).pool, y = extractor.extract(reference, {}).pool;
  // Of the centred features: the trace is the nuclear norm of X Y' over the roots of both N - 1.
  const auto centred = [](const at::Tensor& f) { return f.to(at::kDouble) - f.to(at::kDouble).mean(0); };
  const at::Tensor cx = centred(x), cy = centred(y);
  const double trace = at::linalg_svdvals(cx.matmul(cy.t())).sum().item<double>() / std::sqrt(59. * 99.);
  const double expected =
      (x.to(at::kDouble).mean(0) - y.to(at::kDouble).mean(0)).square().sum().item<double>() +
      cx.square().sum().item<double>() / 59 + cy.square().sum().item<double>() / 99 - 2 * trace;
  EXPECT_NEAR(evaluation.scores.front().value / expected, 1, 1e-9);
}

TEST(Evaluator, KeepsTheReferencesStatistics) {
  const TemporaryFolder folder;
  LinearExtractor extractor;
  TensorImages scored(test::patterned_images(300, 1)), real(test::patterned_images(200, 2));
  real.set_key("some dataset");
  const auto score = [&] {
    Evaluator evaluator(world(), extractor, {.metrics = named({"fid"}), .cache = folder / "cache"});
    evaluator.set_reference(real);
    const double value = evaluator.evaluate(scored, 0).scores.front().value;
    at::Tensor reads = real.reads.sum();
    world().all_reduce(reads)->wait();
    return std::pair{value, reads.item<std::int64_t>()};
  };
  const auto [first, reads] = score();
  EXPECT_EQ(reads, 200);
  const auto [second, reads_then] = score();
  EXPECT_EQ(reads_then, 200) << "read once more";
  EXPECT_NEAR(second / first, 1, 1e-12);
  if (world().rank() == 0)
    for (const auto& file : std::filesystem::directory_iterator(folder / "cache"))
      std::filesystem::resize_file(file, 1000);
  const auto [third, reads_last] = score();
  EXPECT_EQ(reads_last, 400) << "what was kept is damaged";
  EXPECT_NEAR(third / first, 1, 1e-12);
  extractor.mutable_description().resize = "clean";
  EXPECT_EQ(score().second, 600);
}

TEST(Evaluator, KeepsWhatEachMetricNeeds) {
  const TemporaryFolder folder;
  LinearExtractor extractor;
  TensorImages scored(test::patterned_images(300, 1)), real(test::patterned_images(200, 2));
  real.set_key("some dataset");
  const auto score = [&](const std::vector<std::string>& names) {
    Evaluator evaluator(world(), extractor, {.metrics = named(names), .cache = folder / "cache"});
    evaluator.set_reference(real);
    return evaluator.evaluate(scored, 0).scores.front().value;
  };
  score({"sfid"});
  EXPECT_NEAR(score({"fid", "sfid"}) / score({"fid"}), 1, 1e-12);
}

TEST(Evaluator, StatisticsStandForImages) {
  const TemporaryFolder folder;
  LinearExtractor extractor;
  TensorImages scored(test::patterned_images(300, 1)), real(test::patterned_images(200, 2));
  Evaluator maker(world(), extractor, {.metrics = {}});
  const ReferenceStatistics made = maker.statistics_of_images(real, 0);
  if (world().rank() == 0) write_statistics(folder / "real.npz", made);
  ReferenceStatistics read;
  if (world().rank() == 0) read = read_statistics(folder / "real.npz");
  broadcast_statistics(world(), read);
  Evaluator evaluator(world(), extractor, {.metrics = named({"fid", "sfid"})});
  evaluator.set_reference(read);
  const Evaluation by_file = evaluator.evaluate(scored, 0);
  evaluator.set_reference(real);
  const double fid_of_images = fid(test::patterned_images(300, 1), test::patterned_images(200, 2));
  EXPECT_NEAR(by_file.scores.front().value / fid_of_images, 1, 1e-9);
  EXPECT_EQ(by_file.protocol["reference"]["count"], 200);
  LinearExtractor other;
  other.mutable_description().digest = "another";
  Evaluator refuses(world(), other, {.metrics = named({"fid"})});
  const std::string message = expect_error(ExitCode::dataset, [&] { refuses.set_reference(read); });
  EXPECT_NE(message.find("digest"), std::string::npos) << message;
}

TEST(Evaluator, RefusesStatisticsOfOtherDimensions) {
  LinearExtractor extractor;
  Evaluator evaluator(world(), extractor, {.metrics = named({"sfid"})});
  const auto part = [](std::int64_t d) {
    return FeatureStatistics{at::zeros({d}, at::kDouble), at::eye(d, at::kDouble), {}};
  };
  const auto refusal = [&](std::int64_t pool, std::int64_t spatial) {
    return expect_error(ExitCode::dataset, [&] {
      evaluator.set_reference({part(pool), part(spatial), {{"name", "x.npz"}}});
    });
  };
  EXPECT_NE(refusal(24, 9).find("spatial statistics of x.npz have 9 dimensions"), std::string::npos);
  EXPECT_NE(refusal(23, 8).find("x.npz have 23 dimensions"), std::string::npos);
  evaluator.set_reference({part(24), part(8), {{"name", "x.npz"}}});
}

TEST(Evaluator, RefusesWhatDoesNotFit) {
  LinearExtractor extractor(24, /*has_logits=*/false);
  TensorImages scored(test::patterned_images(300, 1)), real(test::patterned_images(4, 2));
  const auto refusal = [&](const std::string& metric, ExitCode code, bool with_reference,
                           MetricOptions metric_options = {}) {
    Evaluator evaluator(world(), extractor, {.metrics = named({metric}), .metric = metric_options});
    if (with_reference) evaluator.set_reference(real);
    return expect_error(code, [&] { evaluator.check(scored, 0); });
  };
  const auto mentions = [](const std::string& message, const std::string& word) {
    EXPECT_NE(message.find(word), std::string::npos) << message;
  };
  mentions(refusal("is", ExitCode::options, false), "class probabilities");
  mentions(refusal("fd-dinov2", ExitCode::options, true), "dinov2");
  mentions(refusal("fid", ExitCode::options, false), "--reference");
  mentions(refusal("dc", ExitCode::dataset, true), "5 nearest");
  mentions(refusal("kid", ExitCode::dataset, true, {.kid_subset_size = 5}), "subsets of 5");
  mentions(refusal("intra-fid", ExitCode::dataset, true), "labels");
  mentions(refusal("psnr", ExitCode::dataset, true), "4 of 4 of tensor are originals");
  mentions(refusal("rfid", ExitCode::dataset, true), "image by image");
  Evaluator counts(world(), extractor, {.metrics = named({"fid"})});
  counts.set_reference(real);
  mentions(expect_error(ExitCode::dataset, [&] { counts.check(scored, 301); }), "301 are asked for");
  Evaluator few(world(), extractor, {.metrics = named({"fid"}), .reference_count = 5});
  few.set_reference(real);
  mentions(expect_error(ExitCode::dataset, [&] { few.check(scored, 0); }), "5 are asked for");
  mentions(expect_error(ExitCode::options, [] { find_metric("fidd"); }), "did you mean fid?");
}

TEST(Evaluator, ExtrapolatesFromMoreImagesThanDimensionsAlone) {
  const at::Tensor images = test::patterned_images(191, 1);
  const std::string message =
      expect_error(ExitCode::options, [&] { evaluate({"fid-infinity"}, images, images); });
  EXPECT_NE(message.find("192 images for the 24 dimensions"), message.npos) << message;
}

TEST(Evaluator, ExtrapolatesToInfinitelyManyImages) {
  const at::Tensor reference = test::patterned_images(2000, 2);
  const auto values = values_of(evaluate({"fid", "fid-infinity"}, test::patterned_images(400, 1), reference));
  const double large = fid(test::patterned_images(4000, 1), reference);
  EXPECT_LT(std::abs(values.at("fid-infinity") - large), std::abs(values.at("fid") - large));
}

TEST(Evaluation, IsWrittenWithAllThatItDependsOn) {
  const nlohmann::json json =
      evaluate({"fid"}, test::patterned_images(100, 1), test::patterned_images(100, 2)).to_json();
  EXPECT_TRUE(json["metrics"]["fid"]["value"].is_number());
  EXPECT_TRUE(json["metrics"]["fid"]["error"].is_number());
  EXPECT_EQ(json["metrics"]["fid"]["features"], "linear");
  for (const char* key :
       {"images", "reference", "extractor", "seed", "ranks", "batch", "warnings", "quantisation"})
    EXPECT_TRUE(json["protocol"].contains(key)) << key;
  EXPECT_EQ(json["protocol"]["ranks"], world().size());
}

TEST(Protocol, SaysWhatForbidsAComparison) {
  const nlohmann::json here =
      evaluate({"fid"}, test::patterned_images(100, 1), test::patterned_images(100, 2)).protocol;
  const auto differences = [&](const char* place, const nlohmann::json& value) {
    nlohmann::json there = here;
    there[nlohmann::json::json_pointer(place)] = value;
    return protocol_differences(there, here);
  };
  for (const char* aside : {"/extractor/origin", "/extractor/caveat", "/images/name", "/images/digest",
                            "/images/step", "/reference/name", "/reference/kind", "/ranks", "/batch"})
    EXPECT_EQ(differences(aside, "other"), "") << aside;
  for (const char* place :
       {"/extractor/name", "/extractor/digest", "/extractor/resize", "/extractor/precision",
        "/extractor/dimensions", "/images/count", "/images/selection", "/images/truncation", "/images/ema",
        "/reference/digest", "/reference/count", "/reference/selection"})
    EXPECT_NE(differences(place, "other").find("other"), std::string::npos) << place;
  EXPECT_NE(protocol_differences({}, here), "");
  EXPECT_NE(protocol_differences(nlohmann::json::array(), here), "");
}

}  // namespace
}  // namespace ganymede
