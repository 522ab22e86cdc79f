#include "models/features/inception_extractor.h"

#include "models/features/inception_names.h"
#include "models/features/inception_v3.h"
#include "models/features/resizing_extractor.h"
#include "models/features/weights_digest.h"

namespace ganymede {
namespace {

class InceptionExtractor final : public ResizingExtractor {
 public:
  InceptionExtractor(const NamedTensors& weights, ExtractorDescription description, FeatureResize resize,
                     const FrozenPlace& place)
      : ResizingExtractor(std::move(description), {.pool = true, .spatial = true, .logits = true},
                          FeatureResizer(resize, InceptionV3::image_size, scale_of(resize)), place),
        network_(weights, place) {}

 protected:
  Features forward(const at::Tensor& x, const FeatureRequest& request) override {
    return network_.forward(x, request);
  }

 private:
  static PixelScale scale_of(FeatureResize resize) {
    const bool pytorch = resize == FeatureResize::pytorch || resize == FeatureResize::none;
    return pytorch ? symmetric_scale() : tensorflow_scale();
  }

  InceptionV3 network_;
};

template <InceptionLayout layout>
WeightsReport examine(const WeightsSource& source) {
  const bool nvidia = layout == InceptionLayout::nvidia;
  WeightsReport report{.network = "inception-v3",
                       .layout = nvidia ? "NVIDIA's names" : "torchvision's names"};
  const auto output = source.types.find("fc.weight");
  const bool imagenet = !nvidia && output != source.types.end() &&
                        output->second.shape == std::vector<std::int64_t>{1000, 2048};
  if (imagenet)
    report.caveat = "the weights are torchvision's, of 1,000 classes: FID is defined on those of 1,008";
  compare(report, source, inception_tensors(layout, imagenet ? 1000 : 1008));
  std::erase_if(report.unused,
                [](const std::string& name) { return name.ends_with(".num_batches_tracked"); });
  return report;
}

template <InceptionLayout layout>
std::unique_ptr<FeatureExtractor> make(const WeightsSource& source, const ExtractorOptions& options) {
  const NamedTensors weights = read_inception(source, layout);
  const WeightsReport report = examine<layout>(source);
  const FeatureResize own = layout == InceptionLayout::nvidia ? FeatureResize::tf1 : FeatureResize::pytorch;
  return std::make_unique<InceptionExtractor>(
      weights,
      ExtractorDescription{.name = report.network,
                           .origin = std::filesystem::path(source.where).filename(),
                           .digest = weights_digest(weights),
                           .caveat = report.caveat,
                           .dimensions = InceptionV3::dimensions},
      options.resize.empty() ? own : feature_resize(options.resize), place_of(options));
}

}  // namespace

KnownWeights inception_torchvision() {
  return {examine<InceptionLayout::torchvision>, make<InceptionLayout::torchvision>};
}

KnownWeights inception_nvidia() {
  return {examine<InceptionLayout::nvidia>, make<InceptionLayout::nvidia>};
}

}  // namespace ganymede
