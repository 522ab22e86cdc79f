#include "core/metrics/frechet.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "random_features.h"

namespace ganymede {
namespace {

Gaussian fitted(const at::Tensor& features) {
  Moments moments(features.size(1));
  moments.add(features);
  return Gaussian::of(moments);
}

double distance(const at::Tensor& first, const at::Tensor& second) {
  return frechet_distance(fitted(first), fitted(second)).value;
}

TEST(Frechet, OfNormalsThatShareAxesIsKnown) {
  const at::Tensor mean = at::tensor({1.0, 2.0, 0.0}, at::kDouble);
  const Gaussian first = Gaussian::of(mean, at::diag(at::tensor({4.0, 9.0, 1.0}, at::kDouble)));
  const Gaussian second = Gaussian::of(mean + 1, at::diag(at::tensor({1.0, 25.0, 0.0}, at::kDouble)));
  const FrechetDistance found = frechet_distance(first, second);
  EXPECT_DOUBLE_EQ(found.mean_part, 3);
  EXPECT_DOUBLE_EQ(found.covariance_part, 1 + 4 + 1);
  EXPECT_DOUBLE_EQ(found.value, 9);
  EXPECT_FALSE(found.undersampled);
}

TEST(Frechet, OfIdenticalSetsIsZero) {
  for (const std::int64_t count : {50, 200, 1000}) {
    const at::Tensor x = random_features(1, count, 200, 1);
    EXPECT_LT(distance(x, x), 1e-9) << count;
    EXPECT_LT(frechet_distance(Gaussian::of_features(x), fitted(x)).value, 1e-9) << count;
  }
}

// Where roots of eigenvalues would be off: half of the directions hardly vary.
TEST(Frechet, OfNearlySingularCovariancesIsExact) {
  for (const double small : {1e-3, 1e-6, 1e-8, 1e-12}) {
    const at::Tensor mean = at::zeros({100}, at::kDouble), mixing = random_features(1, 100, 100);
    const at::Tensor axes = std::get<0>(at::linalg_qr(mixing));
    at::Tensor variances = at::ones({100}, at::kDouble);
    variances.narrow(0, 50, 50).fill_(small);
    const at::Tensor first = at::mm(axes * variances, axes.t()),
                     second = at::mm(axes * variances * 4, axes.t());
    const Gaussian reference = Gaussian::of(mean, first);
    const double expected = variances.sum().item<double>();
    EXPECT_LT(frechet_distance(reference, reference).value, 1e-9) << small;
    EXPECT_NEAR(frechet_distance(reference, Gaussian::of(mean, second)).value / expected, 1, 1e-9) << small;
  }
}

TEST(Frechet, OfFewSamplesIsTheSameByCovarianceAndByFeatures) {
  const at::Tensor real = random_features(2, 900, 300), fake = random_features(3, 60, 300, 0.1);
  const FrechetDistance by_covariance = frechet_distance(fitted(real), fitted(fake));
  const FrechetDistance by_features = frechet_distance(fitted(real), Gaussian::of_features(fake));
  EXPECT_TRUE(by_covariance.undersampled);
  EXPECT_TRUE(by_features.undersampled);
  EXPECT_NEAR(by_covariance.value / by_features.value, 1, 1e-9);
}

// Statistics read from a file do not say how many samples they are of.
TEST(Frechet, OfFewSamplesNeedsNoCount) {
  const at::Tensor real = random_features(2, 70, 300), fake = random_features(3, 60, 300, 0.1);
  Moments moments(300);
  moments.add(fake);
  const Gaussian foreign = Gaussian::of(moments.mean(), moments.covariance());
  EXPECT_EQ(foreign.half.size(1), 59);
  EXPECT_FALSE(foreign.undersampled());
  EXPECT_NEAR(frechet_distance(fitted(real), foreign).value /
                  frechet_distance(fitted(real), Gaussian::of_features(fake)).value,
              1, 1e-9);
}

TEST(Frechet, OfFewSamplesOnBothSidesIsTheSameByAllRoutes) {
  const at::Tensor first = random_features(4, 40, 100, 1), second = random_features(5, 30, 100);
  const double exact = frechet_distance(Gaussian::of_features(first), Gaussian::of_features(second)).value;
  EXPECT_NEAR(distance(first, second) / exact, 1, 1e-9);
  EXPECT_NEAR(distance(second, first) / exact, 1, 1e-9);
}

TEST(Frechet, DoesNotDependOnHowRowsAreCut) {
  const at::Tensor real = random_features(6, 1001, 50), fake = random_features(7, 1001, 50, 0.05);
  const double whole = distance(real, fake);
  for (const std::int64_t rows : {1, 7, 64}) {
    Moments moments(50);
    for (const at::Tensor& part : fake.flip(0).split(rows)) moments.add(part);
    EXPECT_NEAR(frechet_distance(fitted(real), Gaussian::of(moments)).value / whole, 1, 1e-12) << rows;
  }
}

TEST(Frechet, GrowsWithNoise) {
  const at::Tensor real = random_features(8, 2000, 50), noise = random_features(9, 2000, 50).flip(1);
  double last = -1;
  for (const double amount : {0.0, 0.1, 0.2, 0.4, 0.8}) {
    const double now = distance(real, real + amount * noise);
    EXPECT_GT(now, last) << amount;
    last = now;
  }
}

TEST(Frechet, RefusesWhatDoesNotBelongTogether) {
  const at::Tensor mean = at::zeros({3}, at::kDouble), sigma = at::eye(3, at::kDouble);
  EXPECT_THROW(Gaussian::of(mean, at::eye(2, at::kDouble)), Error);
  EXPECT_THROW(Gaussian::of(mean / 0, sigma), Error);
  EXPECT_THROW(Gaussian::of(mean, sigma * NAN), Error);
  EXPECT_THROW(Gaussian::of_features(at::zeros({1, 3})), Error);
  EXPECT_THROW(frechet_distance(Gaussian::of(mean, sigma), fitted(random_features(1, 9, 4))), Error);
}

TEST(Frechet, OfConstantFeaturesIsTheirDistance) {
  EXPECT_DOUBLE_EQ(distance(at::zeros({5, 3}), at::ones({4, 3})), 3);
}

}  // namespace
}  // namespace ganymede
