#pragma once

#include "models/layers/weighted.h"

namespace ganymede {

struct ModulatedConvOptions {
  std::int64_t in = 0, out = 0, kernel = 3, style = 0;
  bool demodulate = true;
  /// The result is twice as large: a fractionally strided convolution, then the filter of models/layers/filter.h.
  bool upsample = false;
};

/// StyleGAN2's convolution, whose kernel each image scales by its style (Karras et al., arXiv 1912.04958, equations 1
/// and 3): with s = affine(w), of image n
///
///     w'_oik = s_ni w_oik,   w''_oik = w'_oik / sqrt(sum over i, k of w'_oik^2 + 1e-8)  (with `demodulate`)
///
/// computed as scales in front of and behind one convolution for all images. The weight is equalised, with gain 1;
/// "bias" [out] is a parameter for whoever adds it. Submodule "affine", whose bias begins at 1.
class ModulatedConv2d : public Weighted {
 public:
  explicit ModulatedConv2d(const ModulatedConvOptions& options);
  /// x [N, in, H, W], w [N, style] -> [N, out, H, W], in x's type.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& w);

 private:
  ModulatedConvOptions options_;
  std::shared_ptr<Linear> affine_;
};

}  // namespace ganymede
