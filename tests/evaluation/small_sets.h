#pragma once

#include <map>

#include "evaluation/image_set.h"
#include "models/features/feature_extractor.h"
#include "models/features/lpips.h"

namespace ganymede::test {

/// Images that a tensor holds, uint8 [N, C, H, W]; counts how often each was read.
class TensorImages final : public ImageSet {
 public:
  explicit TensorImages(at::Tensor images, at::Tensor labels = {}, std::int64_t unit = 1);
  std::int64_t granularity() const override { return unit_; }
  void read(const std::vector<std::int64_t>& indices, std::int64_t batch, const Take& take) override;
  void set_key(const std::string& key) { description_.key = key; }

  at::Tensor reads;  ///< [N] int64

 private:
  at::Tensor images_;
  std::int64_t unit_;
};

/// Images of `classes` classes in turn, each class a pattern of its own with noise of deviation `noise`; image i
/// is a function of (seed, i).
at::Tensor patterned_images(std::int64_t count, std::uint64_t seed, double noise = 30,
                            std::int64_t classes = 5);
/// Of the same: i mod classes.
at::Tensor labels_in_turn(std::int64_t count, std::int64_t classes = 5);

/// D linear features with whole weights: exact in float32, so the same in any batch.
class LinearExtractor final : public FeatureExtractor {
 public:
  explicit LinearExtractor(std::int64_t dimensions = 24, bool has_logits = true);
  const ExtractorDescription& description() const override { return description_; }
  FeatureRequest offers() const override { return offers_; }
  Features extract(const at::Tensor& images, const FeatureRequest& request) override;
  ExtractorDescription& mutable_description() { return description_; }

  std::int64_t bad_value = -1;  ///< images that begin with this byte have features that are no numbers

 private:
  ExtractorDescription description_;
  FeatureRequest offers_;
  at::Tensor weights_;
};

/// LPIPS with random weights, under the names of the published files; made once.
std::shared_ptr<const Lpips> random_lpips();

}  // namespace ganymede::test
