#include "core/metrics/error_bars.h"

#include <c10/util/Exception.h>

#include <cmath>
#include <numeric>

#include "core/error.h"

namespace ganymede {
namespace {

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double squares_about(const std::vector<double>& values, double centre) {
  double sum = 0;
  for (const double value : values) sum += (value - centre) * (value - centre);
  return sum;
}

}  // namespace

Estimate repeated_draws(const std::vector<double>& values) {
  if (values.size() < 2) fail(ExitCode::options, "{} draws: an error bar needs at least two", values.size());
  const double n = static_cast<double>(values.size()), mean = mean_of(values);
  return {mean, std::sqrt(squares_about(values, mean) / (n * (n - 1)))};
}

Estimate jackknife(double all, const std::vector<double>& without) {
  if (without.size() < 2)
    fail(ExitCode::options, "{} blocks: an error bar needs at least two", without.size());
  const double blocks = static_cast<double>(without.size());
  return {all, std::sqrt((blocks - 1) / blocks * squares_about(without, mean_of(without)))};
}

Line fit_line(const std::vector<double>& x, const std::vector<double>& y) {
  TORCH_CHECK(x.size() == y.size(), "fit_line: ", x.size(), " x and ", y.size(), " y");
  const double n = static_cast<double>(x.size()), x_mean = mean_of(x), y_mean = mean_of(y);
  const double spread = x.empty() ? 0 : squares_about(x, x_mean);
  if (!(spread > 0)) fail(ExitCode::options, "a line needs points at two different sample counts at least");
  double product = 0;
  for (std::size_t i = 0; i < x.size(); ++i) product += (x[i] - x_mean) * (y[i] - y_mean);
  Line line{y_mean - product / spread * x_mean, product / spread, 0};
  if (x.size() == 2) return line;
  double residual = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    residual += std::pow(y[i] - line.intercept - line.slope * x[i], 2);
  line.intercept_error = std::sqrt(residual / (n - 2) * (1 / n + x_mean * x_mean / spread));
  return line;
}

}  // namespace ganymede
