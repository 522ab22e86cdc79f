#pragma once

#include "models/features/feature_extractor.h"
#include "models/features/feature_resize.h"
#include "models/features/frozen_convolution.h"

namespace ganymede {

/// What extractors share: checks of the images, pieces that bound memory, the resize, and float32 results on
/// the host. A network adds `forward`.
class ResizingExtractor : public FeatureExtractor {
 public:
  const ExtractorDescription& description() const override { return description_; }
  FeatureRequest offers() const override { return offers_; }
  Features extract(const at::Tensor& images, const FeatureRequest& request) override;

 protected:
  /// `description` lacks resize and precision, which follow from the other two.
  ResizingExtractor(ExtractorDescription description, const FeatureRequest& offers,
                    const FeatureResizer& resizer, const FrozenPlace& place);

  const FrozenPlace& place() const { return place_; }

  /// x: [n, 3, size, size], channels_last, scaled, in the place. Results of any dtype and device; what was
  /// not asked for may be given too. Runs in inference mode.
  virtual Features forward(const at::Tensor& x, const FeatureRequest& request) = 0;

 private:
  ExtractorDescription description_;
  FeatureRequest offers_;
  FeatureResizer resizer_;
  FrozenPlace place_;
};

}  // namespace ganymede
