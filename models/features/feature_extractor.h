#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>

namespace ganymede {

/// What a network says of N images. A tensor that was not asked for, or that the network does not have, is
/// undefined. All are float32 in host memory.
struct Features {
  at::Tensor pool;     ///< [N, D]: the features of FID, KID, precision and recall
  at::Tensor spatial;  ///< [N, S]: the features of spatial FID
  at::Tensor logits;   ///< [N, K]: of the classes, without the output's bias
};

/// Which of them are wanted.
struct FeatureRequest {
  bool pool = true, spatial = false, logits = false;
};

/// How images are brought to the size that the network looks at.
enum class FeatureResize {
  pytorch,  ///< bilinear with half-pixel centres, no antialiasing: pytorch-fid
  tf1,      ///< bilinear without half-pixel centres: TensorFlow 1's, and so torch-fidelity's and NVIDIA's
  clean,    ///< bicubic with antialiasing in float: clean-fid
  pillow,   ///< the same, rounded to bytes after each axis as Pillow does: dgm-eval
  none,     ///< images must have the network's size
};

/// What a score must say of the network it stands on.
struct ExtractorDescription {
  std::string name = {};        ///< "inception-v3", "dinov2-vitl14", "torchscript", "random"
  std::string origin = {};      ///< the weights' file without folder; empty for the random network
  std::string digest = {};      ///< XXH3-64 of the weights in 16 digits: the same in any layout and file
  std::string resize = {};      ///< as in ExtractorOptions
  std::string precision = {};   ///< fp32, bf16
  std::string caveat = {};      ///< why not to compare scores with published ones; empty if one may
  std::int64_t dimensions = 0;  ///< D
  std::int64_t spatial_dimensions = 0;  ///< S; 0 where there are no spatial features
};

/// A network that is never trained here. Features of an image depend on that image alone, up to rounding.
class FeatureExtractor {
 public:
  virtual ~FeatureExtractor() = default;
  virtual const ExtractorDescription& description() const = 0;
  /// Which features it has.
  virtual FeatureRequest offers() const = 0;
  /// Images uint8 [N, C, H, W], C = 3, or 1, which is repeated; in host memory. Throws Error(options) for what
  /// it does not offer.
  virtual Features extract(const at::Tensor& images, const FeatureRequest& request) = 0;
};

struct ExtractorOptions {
  std::string file = "random";  ///< --features: a weights file, or "random"
  std::string resize = {};  ///< pytorch, tf1, clean, pillow, none; empty: what the network's own tool does
  bool bf16 = false;        ///< faster; not comparable
  at::Device device = at::kCPU;
};

/// The extractor that a file holds weights of, told by the names and shapes in it; or the fixed-seed random
/// network. Throws Error(checkpoint) naming file, what was expected and what was found.
std::unique_ptr<FeatureExtractor> make_feature_extractor(const ExtractorOptions& options);

}  // namespace ganymede
