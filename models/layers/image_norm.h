#pragma once

#include "models/layers/group_norm.h"

namespace ganymede {

/// Norms that look at one image alone, so that a critic's gradient with a penalty is each image's own:
///
///     layer     all its channels and positions (Ba et al., arXiv 1607.06450; WGAN-GP, arXiv 1704.00028, recommends it)
///     instance  each channel (Ulyanov et al., arXiv 1607.08022)
///     group     runs of channels (Wu and He, arXiv 1803.08494)
const std::vector<std::string>& image_norm_names();

struct ImageNormOptions {
  std::string kind;         ///< of the names, or another: then there is no such norm
  std::int64_t groups = 0;  ///< of group norm; divides the channels
  double eps = 1e-5;
};

/// With a gain and a bias [C]: null where the kind is none of them.
std::shared_ptr<GroupNorm> make_image_norm(std::int64_t channels, const ImageNormOptions& options);
/// Throws Error(options) where group norm's groups, the option `name`, do not divide the channels.
void check_image_norm(std::int64_t channels, const ImageNormOptions& options, const std::string& name);

}  // namespace ganymede
