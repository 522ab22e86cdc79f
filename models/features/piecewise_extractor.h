#pragma once

#include "models/features/feature_extractor.h"

namespace ganymede {

/// What all extractors share: checks of images and request, pieces that bound memory, and float32 results in
/// host memory. A network adds `compute`.
class PiecewiseExtractor : public FeatureExtractor {
 public:
  const ExtractorDescription& description() const override { return description_; }
  FeatureRequest offers() const override { return offers_; }
  Features extract(const at::Tensor& images, const FeatureRequest& request) override;

 protected:
  PiecewiseExtractor(ExtractorDescription description, const FeatureRequest& offers, at::Device device)
      : description_(std::move(description)), offers_(offers), device_(device) {}

  /// images: uint8 [n, 1 or 3, H, W] in host memory. Results of any dtype and device; what was not asked for
  /// may be given too. Runs without gradients.
  virtual Features compute(const at::Tensor& images, const FeatureRequest& request) = 0;

  /// The most images that `compute` is given. On a host few: the maps of a deep network's first layers then
  /// stay in the cache, and their memory in the allocator's hands.
  virtual std::int64_t images_at_once() const { return device_.is_cpu() ? 4 : 64; }

  at::Device device() const { return device_; }

 private:
  ExtractorDescription description_;
  FeatureRequest offers_;
  at::Device device_;
};

}  // namespace ganymede
