#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/share.h"

namespace ganymede {

/// What a score must say of the images it was computed from.
struct ImageSetDescription {
  std::string name = {};  ///< of the file or run, without folder
  std::string kind = {};  ///< "dataset", "folder", "archive", "npz", "samples"
  std::int64_t count = 0, channels = 0, height = 0, width = 0;
  /// Tells this set from another before any pixel is read: what statistics are cached under. Empty where they
  /// may not be, as for images that are drawn.
  std::string key = {};
  nlohmann::json details = nlohmann::json::object();  ///< of drawn images: step, EMA, truncation, labels, ...
};

/// N images by index, as bytes, for whichever rank asks: reading is not collective, and image i is the same
/// whoever reads it. Legend: N images, C channels (1 or 3), H x W pixels.
class ImageSet {
 public:
  /// Takes images uint8 [n, C, H, W]; image k is that of index indices[places[k]].
  using Take = std::function<void(const std::vector<std::int64_t>& places, const at::Tensor& images)>;

  virtual ~ImageSet() = default;
  const ImageSetDescription& description() const { return description_; }
  std::int64_t size() const { return description_.count; }
  /// [N] int64, -1 for none; undefined where no image has a label.
  const at::Tensor& labels() const { return labels_; }
  /// read() takes runs of consecutive indices that begin at a multiple of this.
  virtual std::int64_t granularity() const { return 1; }

  /// Hands over the images of `indices` (ascending, each once) in batches of at most `batch`, rounded up to
  /// the granularity, in whatever order they are read fastest. Throws Error(dataset) naming the image that
  /// cannot be read, or has another size than the first.
  virtual void read(const std::vector<std::int64_t>& indices, std::int64_t batch, const Take& take) = 0;

  /// Whether likelihood() is there: images are drawn from a model that gives others a likelihood.
  virtual bool has_likelihood() const { return false; }
  /// Bits a dimension of other images by that model (models/likelihood.h): bytes [n, C, H, W] at positions first ..
  /// first + n - 1, labels [n].
  virtual at::Tensor bits_per_dimension(std::int64_t first, const at::Tensor& images,
                                        const at::Tensor& labels);

  /// Takes float images [n, C, H, W] of the two ends of n pieces of path.
  using TakeEnds = std::function<void(const at::Tensor& from, const at::Tensor& to)>;
  /// Whether read_paths() is there: images are drawn from latents.
  virtual bool has_paths() const { return false; }
  /// Hands over the ends of the pieces of path of length `step` that belong to a run of images, in order
  /// (models/latent_paths.h). `share` as for read().
  virtual void read_paths(const Share& share, std::int64_t batch, double step, const TakeEnds& take);

 protected:
  ImageSetDescription description_;
  at::Tensor labels_;
};

/// [N] int64, or undefined where all are -1.
at::Tensor labels_tensor(std::span<const std::int64_t> labels);

/// [n] int64: the labels of these images; undefined where the set has none.
at::Tensor selected_labels(const ImageSet& set, const std::vector<std::int64_t>& indices);

/// Throws Error(dataset) unless the images have 1 or 3 channels: networks that judge images see no others.
void check_channels(const ImageSetDescription& description);

}  // namespace ganymede
