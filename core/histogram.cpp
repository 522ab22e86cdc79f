#include "core/histogram.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ganymede {
namespace {

/// Every so many-th value in memory, on the host.
at::Tensor some_of(const at::Tensor& values, std::int64_t most) {
  const at::Tensor dense = values.detach().is_non_overlapping_and_dense()
                               ? values.detach().as_strided({values.numel()}, {1})
                               : values.detach().flatten();
  const std::int64_t stride = (dense.numel() + most - 1) / most;
  return dense.slice(0, 0, dense.numel(), std::max<std::int64_t>(stride, 1)).to(at::kCPU, at::kDouble);
}

/// The bin of `value`, by the edges as they are rounded.
std::size_t bin_of(double value, const std::vector<double>& edges) {
  const std::size_t bins = edges.size() - 1;
  const double place = (value - edges.front()) / (edges.back() - edges.front()) * static_cast<double>(bins);
  std::size_t bin = std::min(static_cast<std::size_t>(place), bins - 1);
  if (value < edges[bin]) --bin;
  if (value >= edges[bin + 1] && bin + 1 < bins) ++bin;
  return bin;
}

}  // namespace

double Histogram::count() const {
  return std::accumulate(counts.begin(), counts.end(), 0.0);
}

std::optional<Histogram> histogram_of(const at::Tensor& tensor, std::int64_t bins, std::int64_t most) {
  at::Tensor values = some_of(tensor, most);
  values = values.masked_select(values.isfinite());
  if (values.numel() == 0) return std::nullopt;
  const std::span<const double> list(values.data_ptr<double>(), static_cast<std::size_t>(values.numel()));
  Histogram result;
  const auto [least, greatest] = std::minmax_element(list.begin(), list.end());
  result.min = *least;
  result.max = *greatest;
  const double margin = result.min == result.max ? 0.5 : 0;
  const double left = result.min - margin, right = result.max + margin;
  const double width = (right - left) / static_cast<double>(bins);
  for (std::int64_t i = 0; i < bins; ++i) result.edges.push_back(left + static_cast<double>(i) * width);
  result.edges.push_back(right);
  result.counts.resize(static_cast<std::size_t>(bins));
  for (const double value : list) {
    ++result.counts[bin_of(value, result.edges)];
    result.sum += value;
    result.sum_of_squares += value * value;
  }
  return result;
}

}  // namespace ganymede
