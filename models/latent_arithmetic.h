#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace ganymede {

/// Arithmetic with latents (Radford et al., arXiv 1511.06434, section 6.3.2): concepts are means of the latents of
/// images that show them, and
///
///     mean(smiling women) - mean(neutral women) + mean(neutral men)
///
/// shows smiling men. (The great circle between two latents: on_path in core/metrics/path_length.h.)

/// One mean, and its sign.
struct LatentTerm {
  double sign = 1;
  std::vector<std::int64_t> images;  ///< whose latents it is the mean of, by index
};

/// "3,8,12-5,9,14+7,2,4" as three terms. A sign before the first is allowed. Throws Error(options), naming the
/// option --terms, for anything else, and for more than 8 terms or 16 images a term.
std::vector<LatentTerm> read_latent_terms(const std::string& text);

/// sum of sign_i means_i: means [T, D] of T terms -> [D].
at::Tensor sum_of_terms(const std::vector<LatentTerm>& terms, const at::Tensor& means);

/// a + t (b - a) for a, b [N, ...] and t [N].
at::Tensor on_line(const at::Tensor& a, const at::Tensor& b, const at::Tensor& t);

}  // namespace ganymede
