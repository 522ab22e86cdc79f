#include "models/features/random_network.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/philox.h"
#include "models/features/resizing_extractor.h"
#include "models/features/weights_digest.h"

namespace ganymede {
namespace {

constexpr std::int64_t image_size = 64;
constexpr std::array<std::int64_t, 5> widths{3, 32, 64, 96, 80};
constexpr std::size_t levels = widths.size() - 1;

RandomStream stream_of(std::size_t level, std::string_view what) {
  return RandomStream({.phase = "random features", .step = level, .stream = what});
}

/// Loops in double rather than tensor operations: their order of sums depends on the machine.
at::Tensor draw_weight(std::size_t level) {
  const std::int64_t out = widths[level + 1], fan_in = widths[level] * 9;
  const at::Tensor drawn = stream_of(level, "weight").uniform(0, out, fan_in, at::kDouble);
  double* row = drawn.data_ptr<double>();
  const double bound = std::sqrt(6 / static_cast<double>(fan_in));
  for (std::int64_t o = 0; o < out; ++o, row += fan_in) {
    double mean = 0;
    for (std::int64_t i = 0; i < fan_in; ++i) mean += row[i];
    mean = level == 0 ? 0.5 : mean / static_cast<double>(fan_in);
    for (std::int64_t i = 0; i < fan_in; ++i) row[i] = 2 * bound * (row[i] - mean);
  }
  return drawn.view({out, widths[level], 3, 3}).to(at::kFloat);
}

at::Tensor draw_bias(std::size_t level) {
  return (stream_of(level, "bias").uniform(0, 1, widths[level + 1], at::kDouble)[0] * 0.5 - 0.25)
      .to(at::kFloat);
}

class RandomNetwork final : public ResizingExtractor {
 public:
  RandomNetwork(const NamedTensors& weights, FeatureResize resize, const FrozenPlace& place)
      : ResizingExtractor(
            {.name = "random",
             .digest = weights_digest(weights),
             .caveat = "the features' network was never trained: compare only runs scored with it",
             .dimensions = widths[1] + widths[2] + widths[3] + 4 * widths[4]},
            {.pool = true}, FeatureResizer(resize, image_size, symmetric_scale()), place) {
    for (std::size_t level = 0; level < levels; ++level)
      layers_.emplace_back(weights[2 * level].second, weights[2 * level + 1].second,
                           ConvolutionShape{.stride = {2, 2}, .padding = {1, 1}}, place);
  }

 protected:
  Features forward(const at::Tensor& x, const FeatureRequest&) override {
    std::vector<at::Tensor> pools;
    at::Tensor h = x;
    for (const FrozenConvolution& layer : layers_) {
      h = layer(h);
      const std::int64_t cells = pools.size() + 1 == levels ? 2 : 1;
      pools.push_back(at::adaptive_avg_pool2d(h, {cells, cells}).flatten(1).to(at::kFloat));
    }
    return {.pool = at::cat(pools, 1), .spatial = {}, .logits = {}};
  }

 private:
  std::int64_t images_at_once() const override { return 64; }

  std::vector<FrozenConvolution> layers_;
};

}  // namespace

std::unique_ptr<FeatureExtractor> make_random_network(const ExtractorOptions& options) {
  NamedTensors weights;
  for (std::size_t level = 0; level < levels; ++level) {
    weights.emplace_back(fmt::format("level{}.weight", level), draw_weight(level));
    weights.emplace_back(fmt::format("level{}.bias", level), draw_bias(level));
  }
  const FeatureResize resize = options.resize.empty() ? FeatureResize::clean : feature_resize(options.resize);
  return std::make_unique<RandomNetwork>(weights, resize, place_of(options));
}

}  // namespace ganymede
