#include "core/metrics/exact_distance.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace ganymede {
namespace {

constexpr std::int64_t tile_rows = 1024;
constexpr std::int64_t tile_columns = 4096;

// Eight partial sums let the compiler use vectors; their order is fixed.
template <class T>
double squared_distance(const T* x, const T* y, std::int64_t count) {
  double sums[8] = {};
  std::int64_t d = 0;
  for (; d + 8 <= count; d += 8)
    for (int lane = 0; lane < 8; ++lane) {
      const double difference = static_cast<double>(x[d + lane]) - static_cast<double>(y[d + lane]);
      sums[lane] += difference * difference;
    }
  for (; d < count; ++d) {
    const double difference = static_cast<double>(x[d]) - static_cast<double>(y[d]);
    sums[d % 8] += difference * difference;
  }
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

}  // namespace

CentredRows::CentredRows(const at::Tensor& given, const at::Tensor& centre)
    : rows(given.contiguous()),
      rounded(rows.sub(centre).to(at::kFloat)),
      lengths(at::linalg_vector_norm(rounded, 2, at::IntArrayRef{1}, false, at::kDouble)) {}

DistanceTile::DistanceTile(const CentredRows& x, const CentredRows& y)
    : x_(x.rows),
      y_(y.rows),
      product_(at::mm(x.rounded, y.rounded.t())),
      lengths_x_(x.lengths),
      lengths_y_(y.lengths),
      rows_(x_.size(0)),
      columns_(y_.size(0)),
      products_(product_.data_ptr<float>()),
      x_lengths_(lengths_x_.data_ptr<double>()),
      y_lengths_(lengths_y_.data_ptr<double>()),
      bound_(0x1p-24 * (0.5 * static_cast<double>(x_.size(1)) + 4)) {
  TORCH_CHECK(x_.scalar_type() == y_.scalar_type() && x_.size(1) == y_.size(1), "DistanceTile: rows of ",
              x_.scalar_type(), " ", x_.sizes(), " and ", y_.scalar_type(), " ", y_.sizes());
}

double DistanceTile::exact(std::int64_t i, std::int64_t j) const {
  const std::int64_t dimension = x_.size(1);
  if (x_.scalar_type() == at::kDouble)
    return squared_distance(x_.const_data_ptr<double>() + i * dimension,
                            y_.const_data_ptr<double>() + j * dimension, dimension);
  return squared_distance(x_.const_data_ptr<float>() + i * dimension,
                          y_.const_data_ptr<float>() + j * dimension, dimension);
}

void for_each_tile(const at::Tensor& queries, const at::Tensor& others, const at::Tensor& centre,
                   const std::function<void(const DistanceTile&, std::int64_t, std::int64_t)>& action) {
  for (std::int64_t other = 0; other < others.size(0); other += tile_columns) {
    const CentredRows columns(others.narrow(0, other, std::min(tile_columns, others.size(0) - other)),
                              centre);
    for (std::int64_t query = 0; query < queries.size(0); query += tile_rows) {
      const CentredRows rows(queries.narrow(0, query, std::min(tile_rows, queries.size(0) - query)), centre);
      action(DistanceTile(rows, columns), query, other);
    }
  }
}

at::Tensor centre_of(const at::Tensor& rows) {
  if (rows.size(0) == 0) return at::zeros({rows.size(1)}, at::kDouble);
  return rows.mean(at::IntArrayRef{0}, false, at::kDouble);
}

}  // namespace ganymede
