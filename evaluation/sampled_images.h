#pragma once

#include "evaluation/image_set.h"
#include "models/method.h"

namespace ganymede {

/// Images that a generator draws, through bytes as a file would hold them. Image i is the same at any rank
/// count and batch size. Of kind "reconstructions" it is made of image i of a dataset, and any may be read alone.
class SampledImages final : public ImageSet {
 public:
  /// The labels [n] of images first .. first + n - 1; asked for past the end too, to fill up whole units.
  using Labels = std::function<at::Tensor(std::int64_t first, std::int64_t count)>;

  /// `sampler` must outlive this. `shape` is {C, H, W}.
  SampledImages(Sampler& sampler, std::int64_t count, std::array<std::int64_t, 3> shape, Labels labels,
                bool has_classes, std::string name, nlohmann::json details, std::string kind = "samples");

  std::int64_t granularity() const override { return sampler_.granularity(); }
  void read(const std::vector<std::int64_t>& indices, std::int64_t batch, const Take& take) override;
  bool has_paths() const override;
  bool has_likelihood() const override;
  at::Tensor bits_per_dimension(std::int64_t first, const at::Tensor& images,
                                const at::Tensor& labels) override;
  void read_paths(const Share& share, std::int64_t batch, double step, const TakeEnds& take) override;

 private:
  /// Draws runs of whole units that begin at `first`: of each so many images are wanted.
  void in_units(const Share& share, std::int64_t batch,
                const std::function<void(std::int64_t first, std::int64_t drawn, std::int64_t wanted)>& draw);

  Sampler& sampler_;
  Labels labels_of_;
};

}  // namespace ganymede
