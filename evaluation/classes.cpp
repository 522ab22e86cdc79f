#include "evaluation/classes.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace ganymede {
namespace {

constexpr std::size_t named = 10;

at::Tensor counts_of(const at::Tensor& labels, std::int64_t classes) {
  return at::bincount(labels.index({labels.ge(0)}), {}, classes);
}

}  // namespace

CommonClasses common_classes(const at::Tensor& images, const at::Tensor& reference) {
  const std::int64_t classes =
      1 + std::max(images.max().item<std::int64_t>(), reference.max().item<std::int64_t>());
  CommonClasses common;
  common.images = images.numel();
  common.reference = reference.numel();
  if (classes == 0) return common;
  const at::Tensor x = counts_of(images, classes), y = counts_of(reference, classes);
  for (std::int64_t label = 0; label < classes; ++label) {
    const auto own = x[label].item<std::int64_t>(), theirs = y[label].item<std::int64_t>();
    if (own + theirs == 0) continue;  // a gap in the numbers
    const std::int64_t fewer = std::min(own, theirs);
    if (fewer < 2) {
      common.left_out.push_back(label);
      continue;
    }
    common.fewest = common.scored.empty() ? fewer : std::min(common.fewest, fewer);
    common.scored.push_back(label);
    common.images -= own;
    common.reference -= theirs;
  }
  return common;
}

std::string CommonClasses::omission() const {
  if (images + reference == 0) return {};
  const auto end = left_out.begin() + static_cast<std::ptrdiff_t>(std::min(left_out.size(), named));
  const std::string what =
      left_out.empty()
          ? "they have no label"
          : fmt::format("{} of {} classes have fewer than two images on a side: {}{}", left_out.size(),
                        left_out.size() + scored.size(), fmt::join(left_out.begin(), end, ", "),
                        end == left_out.end() ? "" : ", ...");
  return fmt::format("{} images and {} of the reference are left out: {}", images, reference, what);
}

}  // namespace ganymede
