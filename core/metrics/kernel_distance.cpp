#include "core/metrics/kernel_distance.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/metrics/moments.h"

namespace ganymede {
namespace {

constexpr std::int64_t rows_a_product = 1024;

at::Tensor cubed(const at::Tensor& products, std::int64_t dimension) {
  return products.div_(static_cast<double>(dimension)).add_(1).pow_(3);
}

/// Sum of k(x_i, y_j) over all pairs.
double kernel_sum(const at::Tensor& x, const at::Tensor& y) {
  double sum = 0;
  for (const at::Tensor& rows : x.split(rows_a_product))
    sum += cubed(at::mm(rows, y.t()), x.size(1)).sum().item<double>();
  return sum;
}

double diagonal_sum(const at::Tensor& x) {
  return cubed(x.square().sum(1), x.size(1)).sum().item<double>();
}

/// Mean of k(x_i, x_j) over i != j.
double mean_among(const at::Tensor& x) {
  const double count = static_cast<double>(x.size(0));
  return (kernel_sum(x, x) - diagonal_sum(x)) / (count * (count - 1));
}

}  // namespace

double squared_mmd(const at::Tensor& x, const at::Tensor& y) {
  check_features(x);
  check_features(y, x.size(1));
  if (x.size(0) < 2 || y.size(0) < 2)
    fail(ExitCode::options, "a kernel distance of {} and {} samples: both sides need at least two", x.size(0),
         y.size(0));
  const at::Tensor a = x.to(at::kDouble), b = y.to(at::kDouble);
  return mean_among(a) + mean_among(b) -
         2 * kernel_sum(a, b) / (static_cast<double>(a.size(0)) * static_cast<double>(b.size(0)));
}

at::Tensor draw_subsets(const RandomKey& key, std::int64_t count, std::int64_t subsets, std::int64_t size) {
  if (size > count)
    fail(ExitCode::options, "subsets of {} from {} samples: draw more samples, or smaller subsets", size,
         count);
  const RandomStream stream(key);
  const at::Tensor result = at::empty({subsets, size}, at::kLong);
  std::vector<std::pair<std::uint64_t, std::int64_t>> order(static_cast<std::size_t>(count));
  for (std::int64_t subset = 0; subset < subsets; ++subset) {
    for (std::int64_t i = 0; i < count; ++i)
      order[static_cast<std::size_t>(i)] = {
          stream.bits(static_cast<std::uint64_t>(subset), static_cast<std::uint32_t>(i)), i};
    std::partial_sort(order.begin(), order.begin() + size, order.end());
    std::int64_t* row = result.data_ptr<std::int64_t>() + subset * size;
    for (std::int64_t i = 0; i < size; ++i) row[i] = order[static_cast<std::size_t>(i)].second;
  }
  return result;
}

KernelDistance kernel_distance(const at::Tensor& x, const at::Tensor& y, const at::Tensor& x_subsets,
                               const at::Tensor& y_subsets) {
  TORCH_CHECK(x_subsets.size(0) == y_subsets.size(0), "kernel_distance: ", x_subsets.size(0), " and ",
              y_subsets.size(0), " subsets");
  std::vector<double> values;
  for (std::int64_t subset = 0; subset < x_subsets.size(0); ++subset)
    values.push_back(squared_mmd(x.index_select(0, x_subsets[subset]), y.index_select(0, y_subsets[subset])));
  return kernel_distance(std::move(values));
}

KernelDistance kernel_distance(std::vector<double> subsets) {
  if (subsets.empty()) fail(ExitCode::options, "a kernel distance needs at least one subset");
  const double count = static_cast<double>(subsets.size());
  KernelDistance result;
  result.mean = std::accumulate(subsets.begin(), subsets.end(), 0.0) / count;
  for (const double value : subsets)
    result.deviation += (value - result.mean) * (value - result.mean) / count;
  result.deviation = std::sqrt(result.deviation);
  result.subsets = std::move(subsets);
  return result;
}

std::optional<double> standard_error(const KernelDistance& distance, std::int64_t size, std::int64_t count) {
  const auto subsets = static_cast<double>(distance.subsets.size());
  if (subsets < 2 || size >= count) return std::nullopt;
  const double left_out = static_cast<double>(count - size);
  const double variance = distance.deviation * distance.deviation * subsets / (subsets - 1);
  return std::sqrt(variance * (static_cast<double>(size) / left_out + 1 / subsets));
}

}  // namespace ganymede
