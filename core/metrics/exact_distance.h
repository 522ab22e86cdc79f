#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

namespace ganymede {

/// Squared Euclidean distances between many rows and many others, fast where that is enough and exact where
/// it matters. A matrix product in float32 gives each |x - y|^2 with a bound on its error; who compares it
/// with a threshold asks for `exact` where the bound leaves the answer open, which is seldom.

/// Rows [n, D], float32 or float64, and what the matrix product needs of them: rows less `centre` [D]
/// float64, for the bound grows with their length.
struct CentredRows {
  CentredRows(const at::Tensor& rows, const at::Tensor& centre);

  at::Tensor rows;     ///< [n, D] as given, contiguous
  at::Tensor rounded;  ///< [n, D] float32, less the centre
  at::Tensor lengths;  ///< [n] float64, |rounded|
};

/// Distances of all pairs of some x [n, D] and y [m, D], of one type.
///
/// With u = 2^-24 the product of rounded rows is off by at most D u |x| |y| in any order of summation
/// (Higham, "Accuracy and stability of numerical algorithms", section 3.1) and rounding the rows moves |x -
/// y|^2 by at most about 2 u (|x| + |y|)^2: in all, less than u (D / 2 + 4) (|x| + |y|)^2, which is `slack`.
class DistanceTile {
 public:
  DistanceTile(const CentredRows& x, const CentredRows& y);

  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }

  /// Bounds of |x_i - y_j|^2. NaN where features are too large for float32.
  double lower(std::int64_t i, std::int64_t j) const { return estimate(i, j) - slack(i, j); }
  double upper(std::int64_t i, std::int64_t j) const { return estimate(i, j) + slack(i, j); }
  /// Sum of (x - y)^2 in float64 in one fixed order: a pair has the same bits whichever side, block or rank
  /// it is met in, so that ties, and radii that are made of the very same distance, compare as they should.
  double exact(std::int64_t i, std::int64_t j) const;

 private:
  double estimate(std::int64_t i, std::int64_t j) const {
    return x_lengths_[i] * x_lengths_[i] + y_lengths_[j] * y_lengths_[j] -
           2.0 * static_cast<double>(products_[i * columns_ + j]);
  }
  double slack(std::int64_t i, std::int64_t j) const {
    const double length = x_lengths_[i] + y_lengths_[j];
    return bound_ * length * length;
  }

  at::Tensor x_, y_, product_, lengths_x_, lengths_y_;  ///< owners of what follows
  std::int64_t rows_, columns_;
  const float* products_;
  const double* x_lengths_;
  const double* y_lengths_;
  double bound_;
};

/// Calls `action` with tile after tile (the largest 1,024 x 4,096) of queries [n, D] against others [m, D],
/// and where its first query and its first other are.
void for_each_tile(const at::Tensor& queries, const at::Tensor& others, const at::Tensor& centre,
                   const std::function<void(const DistanceTile& tile, std::int64_t first_query,
                                            std::int64_t first_other)>& action);

/// [D] float64, the mean of rows [n, D]; zero without rows.
at::Tensor centre_of(const at::Tensor& rows);

}  // namespace ganymede
