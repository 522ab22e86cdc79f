#pragma once

#include "models/features/feature_resize.h"
#include "models/features/frozen_convolution.h"
#include "models/features/piecewise_extractor.h"

namespace ganymede {

/// Where and in what the options want a network computed.
FrozenPlace place_of(const ExtractorOptions& options);

/// An extractor of our own code, which looks at images of one size. A network adds `forward`.
class ResizingExtractor : public PiecewiseExtractor {
 protected:
  /// `description` lacks resize, precision and its caveat, which follow from the other two.
  ResizingExtractor(ExtractorDescription description, const FeatureRequest& offers,
                    const FeatureResizer& resizer, const FrozenPlace& place);

  /// x: [n, 3, size, size], channels_last, scaled, in the place. The results are as those of `compute`.
  virtual Features forward(const at::Tensor& x, const FeatureRequest& request) = 0;

 private:
  Features compute(const at::Tensor& images, const FeatureRequest& request) final;

  FeatureResizer resizer_;
  FrozenPlace place_;
};

}  // namespace ganymede
