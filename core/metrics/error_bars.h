#pragma once

#include <cstdint>
#include <vector>

namespace ganymede {

/// A value with its standard error.
struct Estimate {
  double value = 0;
  double standard_error = 0;
};

/// Mean of independent repetitions x_1..x_n (the score of n separate draws) and the standard error of that
/// mean, sqrt(sum (x_i - mean)^2 / (n (n - 1))). A score of one draw varies by sqrt(n) times as much.
/// Error(`options`) if n < 2.
Estimate repeated_draws(const std::vector<double>& values);

/// The delete-one-block jackknife (Tukey 1958; Efron, "The jackknife, the bootstrap and other resampling
/// plans", 1982, chapter 3): the samples are cut into B blocks of one size, `without[i]` is the score of all
/// but block i, `all` that of all.
///
///     standard error = sqrt((B - 1) / B  sum (without_i - mean)^2)
///
/// `value` is `all`. Error(`options`) if B < 2.
Estimate jackknife(double all, const std::vector<double>& without);

/// Least squares y = intercept + slope x.
struct Line {
  double intercept = 0;
  double slope = 0;
  double intercept_error = 0;  ///< standard error, from the residuals; 0 with two points
};

/// Error(`options`) with fewer than two different x.
Line fit_line(const std::vector<double>& x, const std::vector<double>& y);

}  // namespace ganymede
