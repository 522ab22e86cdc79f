#pragma once

#include "models/gan/network.h"

namespace ganymede {

/// A generator in two halves (Karras et al., arXiv 1812.04948): z and the label become a style w, and each layer of the
/// image follows a w.
class StyleGenerator : public Generator {
 public:
  /// z [N, latent_size()], labels [N] -> ws [N, layers, style], a w for each layer. In training the mean style follows
  /// (collective), and styles are mixed where the network's options say so.
  virtual at::Tensor styles(const at::Tensor& z, const at::Tensor& labels, const ForwardContext& context) = 0;
  /// ws [N, layers, style] -> images [N, C, H, W].
  virtual at::Tensor synthesise(const at::Tensor& ws, const ForwardContext& context) = 0;
  /// The mean of w [style] over training: a buffer.
  virtual const at::Tensor& style_mean() const = 0;

  at::Tensor forward(const at::Tensor& z, const at::Tensor& labels, const ForwardContext& context) override {
    return synthesise(styles(z, labels, context), context);
  }
};

/// The truncation trick in w (Karras et al., arXiv 1812.04948, appendix B): ws drawn towards the mean style,
/// mean + psi (w - mean). psi = 1 leaves them, 0 leaves one image, -1 is an image's opposite.
inline at::Tensor truncated_styles(const at::Tensor& ws, const at::Tensor& mean, double psi) {
  return mean + psi * (ws - mean);
}

}  // namespace ganymede
