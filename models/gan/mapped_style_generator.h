#pragma once

#include "models/gan/style_generator.h"
#include "models/gan/style_mapping.h"

namespace ganymede {

/// A StyleGenerator whose styles a mapping network makes. Buffer "style_mean" [style] follows the mean of w over each
/// training batch (collective); that is where truncation pulls w.
class MappedStyleGenerator : public StyleGenerator {
 public:
  /// `average`: decay of the mean style. `mixing`: probability that in training an image's later layers follow the
  /// style of another z (Karras et al., arXiv 1812.04948, section 3.1); the first of them is drawn uniformly.
  MappedStyleGenerator(const StyleMappingOptions& mapping, double average, double mixing);
  std::vector<Exchange> exchanges(const GroupLayout& layout, int ranks) const override;
  std::int64_t latent_size() const override { return options_.latent; }

  /// The number of w that an image is made of.
  virtual std::int64_t layers() const = 0;
  at::Tensor styles(const at::Tensor& z, const at::Tensor& labels, const ForwardContext& context) override;
  const at::Tensor& style_mean() const override { return style_mean_; }

 private:
  at::Tensor mixed(const at::Tensor& w, const at::Tensor& labels, const ForwardContext& context);

  StyleMappingOptions options_;
  double average_, mixing_;
  std::shared_ptr<StyleMapping> mapping_;
  at::Tensor style_mean_;
};

}  // namespace ganymede
