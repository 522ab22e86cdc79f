#include "models/features/resizing_extractor.h"

namespace ganymede {
namespace {

constexpr const char* bf16_caveat = "features in bf16 are a preview, some percent off";

ExtractorDescription completed(ExtractorDescription description, const FeatureResizer& resizer,
                               const FrozenPlace& place) {
  const bool bf16 = place.dtype == at::kBFloat16;
  description.resize = name_of(resizer.mode());
  description.precision = bf16 ? "bf16" : "fp32";
  if (bf16) description.caveat += std::string(description.caveat.empty() ? "" : "; ") + bf16_caveat;
  return description;
}

}  // namespace

FrozenPlace place_of(const ExtractorOptions& options) {
  return {options.device, options.bf16 ? at::kBFloat16 : at::kFloat};
}

ResizingExtractor::ResizingExtractor(ExtractorDescription description, const FeatureRequest& offers,
                                     const FeatureResizer& resizer, const FrozenPlace& place)
    : PiecewiseExtractor(completed(std::move(description), resizer, place), offers, place.device),
      resizer_(resizer),
      place_(place) {}

Features ResizingExtractor::compute(const at::Tensor& images, const FeatureRequest& request) {
  return forward(resizer_(images, place_.device).to(place_.dtype), request);
}

}  // namespace ganymede
