#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "core/philox.h"

namespace ganymede {

/// Kernel inception distance over subsets.
struct KernelDistance {
  double mean = 0;
  double deviation = 0;  ///< between subsets, over S (as NumPy's std and torch-fidelity's); not an error bar
  std::vector<double> subsets;  ///< [S], to share out among ranks and merge
};

/// Unbiased squared maximum mean discrepancy of x [m, D] and y [n, D] with the kernel
/// k(a, b) = (a.b / D + 1)^3 (Binkowski et al., "Demystifying MMD GANs", 2018, section 4; Gretton et al.
/// 2012, equation 3):
///
///     sum_{i != j} k(x_i, x_j) / (m (m - 1)) + sum_{i != j} k(y_i, y_j) / (n (n - 1)) - 2 mean k(x_i, y_j)
///
/// In float64; it may be negative. Kernel matrices are made in blocks of rows. Error(`options`) if m or n
/// is below 2.
double squared_mmd(const at::Tensor& x, const at::Tensor& y);

/// [subsets, size] int64: for each subset `size` of `count` indices without repetition, the ones of the
/// smallest random bits, in that order. Subset s depends on `key` and s alone. Error(`options`) if size
/// exceeds count.
at::Tensor draw_subsets(const RandomKey& key, std::int64_t count, std::int64_t subsets, std::int64_t size);

/// The distance of features x [N, D] and y [M, D] over given subsets [S, m] of their rows.
KernelDistance kernel_distance(const at::Tensor& x, const at::Tensor& y, const at::Tensor& x_subsets,
                               const at::Tensor& y_subsets);

/// Mean and deviation of what squared_mmd gave for each subset.
KernelDistance kernel_distance(std::vector<double> subsets);

/// Standard error of the mean over S random subsets of `size` of `count` samples (of the smaller set): the
/// jackknife that leaves out d = count - size (Shao and Wu, "A general theory for jackknife variance
/// estimation", 1989, equation 2.2), plus what so few subsets leave to chance:
///
///     error^2 = s^2 (size / d + 1 / S),   s^2 = sum (v_i - mean)^2 / (S - 1)
///
/// s alone tells how far subsets lie apart, not how well the mean is known. Where both distributions are nearly
/// one the error is on the safe side. Nothing with one subset, or where subsets are the whole set.
std::optional<double> standard_error(const KernelDistance& distance, std::int64_t size, std::int64_t count);

}  // namespace ganymede
