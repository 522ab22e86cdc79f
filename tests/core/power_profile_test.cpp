#include "core/power_profile.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace ganymede {
namespace {

/// What an average after profile.updates of `count` updates gives to each, by the recursion.
std::vector<double> shares(const PowerProfile& profile, std::int64_t count) {
  std::vector<double> p(static_cast<std::size_t>(count));
  for (std::int64_t t = 1; t <= static_cast<std::int64_t>(profile.updates); ++t) {
    const double decay = power_decay(profile.exponent, t);
    for (double& share : p) share *= decay;
    p[static_cast<std::size_t>(t - 1)] = 1 - decay;
  }
  return p;
}

double norm(const std::vector<double>& values) {
  return std::sqrt(std::inner_product(values.begin(), values.end(), values.begin(), 0.0));
}

struct Mixed {
  double error, told;
};

/// The mix of averages of these widths, kept `snapshots` times, against the average of `width` itself.
Mixed mixed(const std::vector<double>& widths, std::int64_t snapshots, double width) {
  constexpr std::int64_t updates = 1024;
  std::vector<PowerProfile> known;
  for (std::int64_t k = 1; k <= snapshots; ++k)
    for (const double own : widths)
      known.push_back({static_cast<double>(updates * k / snapshots), power_exponent(own)});
  const PowerProfile wanted{updates, power_exponent(width)};
  const ProfileMix mix = mix_profiles(known, wanted);
  const std::vector<double> exact = shares(wanted, updates);
  std::vector<double> off = exact;
  for (std::size_t k = 0; k < known.size(); ++k) {
    const std::vector<double> p = shares(known[k], updates);
    for (std::size_t i = 0; i < p.size(); ++i) off[i] -= mix.weights[k] * p[i];
  }
  return {norm(off) / norm(exact), mix.error};
}

TEST(PowerProfile, AnExponentHasItsWidth) {
  EXPECT_NEAR(power_exponent(0.05), 16.97, 0.005);  // as the paper has them
  EXPECT_NEAR(power_exponent(0.10), 6.94, 0.005);
  for (const double width : {1e-4, 0.01, 0.05, 0.1, 0.25, widest_power_profile}) {
    const double g = power_exponent(width);
    EXPECT_GE(g, 0);
    EXPECT_NEAR(std::sqrt((g + 1) / (g + 3)) / (g + 2), width, 1e-12);
  }
}

TEST(PowerProfile, TheRecursionGivesIt) {
  const double g = power_exponent(0.1), t = 50;
  const std::vector<double> p = shares({t, g}, 50);
  for (std::size_t i = 0; i < p.size(); ++i) {
    const auto x = static_cast<double>(i);
    EXPECT_NEAR(p[i], (std::pow(x + 1, g + 1) - std::pow(x, g + 1)) / std::pow(t, g + 1), 1e-14);
  }
}

TEST(PowerProfile, ProductsAreIntegrals) {
  const PowerProfile a{40, 3}, b{100, 6.5};
  const auto value = [](const PowerProfile& p, double x) {
    return x > p.updates ? 0
                         : (p.exponent + 1) * std::pow(x, p.exponent) / std::pow(p.updates, p.exponent + 1);
  };
  double sum = 0;
  constexpr double width = 1e-3;
  for (double x = width / 2; x < 100; x += width) sum += value(a, x) * value(b, x) * width;
  EXPECT_NEAR(inner_product(a, b), sum, 1e-7 * sum);
  EXPECT_EQ(inner_product(a, b), inner_product(b, a));
}

TEST(PowerProfile, OneThatWasKeptIsItself) {
  const std::vector<PowerProfile> known{{30, 17}, {30, 7}, {60, 17}, {60, 7}, {60, 7}};
  const ProfileMix mix = mix_profiles(known, known[2]);
  for (std::size_t i = 0; i < known.size(); ++i) EXPECT_NEAR(mix.weights[i], i == 2 ? 1 : 0, 1e-9);
  EXPECT_LT(mix.error, 1e-6);
  // One that comes twice shares its weight.
  const ProfileMix twice = mix_profiles(known, known[3]);
  EXPECT_NEAR(twice.weights[3] + twice.weights[4], 1, 1e-9);
}

TEST(PowerProfile, OthersAreMatchedTheBetterTheMoreAreKept) {
  for (const auto& [widths, snapshots, bound] :
       std::vector<std::tuple<std::vector<double>, int, double>>{{{0.05, 0.1}, 8, 2e-2},
                                                                 {{0.05, 0.1}, 32, 2e-3},
                                                                 {{0.05, 0.1, 0.2}, 32, 5e-5},
                                                                 {{0.05, 0.1, 0.2}, 128, 1e-6}})
    for (const double width : {0.06, 0.08, 0.12}) {
      const Mixed found = mixed(widths, snapshots, width);
      fmt::print("{} widths, {} snapshots, width {}: off by {:.1e}, told {:.1e}\n", widths.size(), snapshots,
                 width, found.error, found.told);
      EXPECT_LT(found.error, bound);
      EXPECT_NEAR(found.told, found.error, 0.1 * found.error + 1e-6);
    }
}

}  // namespace
}  // namespace ganymede
