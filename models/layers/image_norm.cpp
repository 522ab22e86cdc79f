#include "models/layers/image_norm.h"

#include "core/error.h"

namespace ganymede {

const std::vector<std::string>& image_norm_names() {
  static const std::vector<std::string> names{"layer", "instance", "group"};
  return names;
}

std::shared_ptr<GroupNorm> make_image_norm(std::int64_t channels, const ImageNormOptions& options) {
  if (std::ranges::find(image_norm_names(), options.kind) == image_norm_names().end()) return nullptr;
  const std::int64_t groups = options.kind == "layer"      ? 1
                              : options.kind == "instance" ? channels
                                                           : options.groups;
  return std::make_shared<GroupNorm>(groups, channels, options.eps);
}

void check_image_norm(std::int64_t channels, const ImageNormOptions& options, const std::string& name) {
  if (options.kind == "group" && channels % options.groups != 0)
    fail(ExitCode::options, "{} = {} does not divide the {} channels of a normalised map", name,
         options.groups, channels);
}

}  // namespace ganymede
