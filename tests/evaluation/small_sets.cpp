#include "tests/evaluation/small_sets.h"

#include <cmath>
#include <numeric>

#include "core/philox.h"

namespace ganymede::test {

TensorImages::TensorImages(at::Tensor images, at::Tensor labels, std::int64_t unit)
    : reads(at::zeros({images.size(0)}, at::kLong)), images_(std::move(images)), unit_(unit) {
  description_ = {.name = "tensor",
                  .kind = "dataset",
                  .count = images_.size(0),
                  .channels = images_.size(1),
                  .height = images_.size(2),
                  .width = images_.size(3)};
  labels_ = std::move(labels);
}

void TensorImages::read(const std::vector<std::int64_t>& indices, std::int64_t batch, const Take& take) {
  const std::int64_t part = (batch + unit_ - 1) / unit_ * unit_;
  for (std::int64_t first = 0; first < std::ssize(indices); first += part) {
    std::vector<std::int64_t> places(static_cast<std::size_t>(std::min(part, std::ssize(indices) - first)));
    std::iota(places.begin(), places.end(), first);
    // Backwards, as an archive may.
    std::reverse(places.begin(), places.end());
    std::vector<std::int64_t> wanted;
    for (const std::int64_t place : places) wanted.push_back(indices[static_cast<std::size_t>(place)]);
    const at::Tensor index = at::tensor(wanted, at::kLong);
    reads.index_add_(0, index, at::ones_like(index));
    take(places, images_.index_select(0, index));
  }
}

at::Tensor patterned_images(std::int64_t count, std::uint64_t seed, double noise, std::int64_t classes) {
  constexpr std::int64_t channels = 3, side = 16, pixels = channels * side * side;
  const at::Tensor patterns =
      RandomStream({.seed = 7, .stream = "patterns"}).uniform(0, classes, pixels, at::kDouble);
  const at::Tensor values =
      RandomStream({.seed = seed, .stream = "noise"}).normal(0, count, pixels, at::kDouble);
  const at::Tensor image =
      patterns.index_select(0, labels_in_turn(count, classes)) * 155 + 50 + values * noise;
  return image.clamp(0, 255).to(at::kByte).view({count, channels, side, side});
}

at::Tensor labels_in_turn(std::int64_t count, std::int64_t classes) {
  return at::arange(count, at::kLong).remainder(classes);
}

LinearExtractor::LinearExtractor(std::int64_t dimensions, bool has_logits)
    : description_{.name = "linear",
                   .origin = "",
                   .digest = "0123456789abcdef",
                   .resize = "none",
                   .precision = "fp32",
                   .caveat = "",
                   .dimensions = dimensions,
                   .spatial_dimensions = 8},
      offers_{.pool = true, .spatial = true, .logits = has_logits} {}

Features LinearExtractor::extract(const at::Tensor& images, const FeatureRequest& request) {
  const at::Tensor x = images.flatten(1).to(at::kDouble);
  if (!weights_.defined())
    weights_ = RandomStream({.seed = 1, .stream = "weights"})
                   .integers(0, x.size(1) * description_.dimensions, 9)
                   .view({x.size(1), description_.dimensions})
                   .to(at::kDouble) -
               4;
  at::Tensor pool = x.matmul(weights_) / 256;
  if (bad_value >= 0)
    pool.index_put_({images.flatten(1).select(1, 0).eq(bad_value)}, at::full({}, NAN, at::kDouble));
  Features features;
  if (request.pool) features.pool = pool.to(at::kFloat);
  if (request.spatial) features.spatial = pool.narrow(1, 0, 8).to(at::kFloat);
  if (request.logits) features.logits = pool.narrow(1, 0, 10).to(at::kFloat);
  return features;
}

namespace {

std::shared_ptr<const Lpips> made_lpips() {
  WeightsSource source{.where = "random", .types = {}, .read = {}};
  const auto add = [&](const std::string& name, std::vector<std::int64_t> shape) {
    source.types[name] = {at::kFloat, std::move(shape)};
  };
  const std::vector<std::pair<int, std::int64_t>> layers{
      {0, 64},   {2, 64},   {5, 128},  {7, 128},  {10, 256}, {12, 256}, {14, 256},
      {17, 512}, {19, 512}, {21, 512}, {24, 512}, {26, 512}, {28, 512}};
  std::int64_t in = 3;
  for (const auto& [number, out] : layers) {
    add(fmt::format("features.{}.weight", number), {out, in, 3, 3});
    add(fmt::format("features.{}.bias", number), {out});
    in = out;
  }
  for (int level = 0; level < 5; ++level)
    add(fmt::format("lin{}.model.1.weight", level), {1, std::min<std::int64_t>(64 << level, 512), 1, 1});
  source.read = [types = source.types](const std::string& name) {
    const std::vector<std::int64_t>& shape = types.at(name).shape;
    at::Tensor values = at::empty(shape, at::kFloat);
    const double spread =
        shape.size() == 4 && shape[2] == 3 ? std::sqrt(6. / (9. * static_cast<double>(shape[1]))) : 1;
    float* value = values.data_ptr<float>();
    for (std::int64_t i = 0; i < values.numel(); ++i)  // evenly spread, and never the same twice in a row
      value[i] =
          static_cast<float>(spread * (2 * std::fmod(0.61803398875 * static_cast<double>(i + 1), 1.) - 1));
    return name.starts_with("lin") ? values.abs() : values;
  };
  return std::make_shared<Lpips>(source, source, FrozenPlace{});
}

}  // namespace

std::shared_ptr<const Lpips> random_lpips() {
  static const std::shared_ptr<const Lpips> network = made_lpips();
  return network;
}

}  // namespace ganymede::test
