#include "models/features/lpips.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "models/features/weights_digest.h"

namespace ganymede {
namespace {

/// VGG16 (Simonyan and Zisserman, arXiv 1409.1556) as far as relu5_3: torchvision's number of each
/// convolution, its width, and the level that it belongs to. Levels but the first begin with a 2x2 maximum.
struct Layer {
  int number;
  std::int64_t out;
  std::size_t level;
};
constexpr Layer layers[] = {{0, 64, 0},   {2, 64, 0},   {5, 128, 1},  {7, 128, 1},  {10, 256, 2},
                            {12, 256, 2}, {14, 256, 2}, {17, 512, 3}, {19, 512, 3}, {21, 512, 3},
                            {24, 512, 4}, {26, 512, 4}, {28, 512, 4}};
constexpr std::int64_t level_width[Lpips::levels] = {64, 128, 256, 512, 512};

constexpr std::array<double, 3> image_mean{-0.030, -0.088, -0.188}, image_deviation{0.458, 0.448, 0.450};
constexpr double unit_eps = 1e-10, least_square = 1e-24;

std::vector<ExpectedTensor> trunk_tensors(bool of_lpips) {
  std::vector<ExpectedTensor> tensors;
  std::int64_t in = 3;
  for (const Layer& layer : layers) {
    const std::string name = of_lpips ? fmt::format("net.slice{}.{}.", layer.level + 1, layer.number)
                                      : fmt::format("features.{}.", layer.number);
    tensors.push_back({name + "weight", {layer.out, in, 3, 3}});
    tensors.push_back({name + "bias", {layer.out}});
    in = layer.out;
  }
  return tensors;
}

std::vector<ExpectedTensor> head_tensors() {
  std::vector<ExpectedTensor> tensors;
  for (std::size_t level = 0; level < Lpips::levels; ++level)
    tensors.push_back({fmt::format("lin{}.model.1.weight", level), {1, level_width[level], 1, 1}});
  return tensors;
}

std::vector<at::Tensor> read_all(const WeightsSource& source, const std::vector<ExpectedTensor>& expected,
                                 const char* what) {
  const auto problems = problems_of(source, expected);
  if (!problems.empty())
    fail(ExitCode::checkpoint, "{}: taken for LPIPS's {}, but {}{}", source.where, what, problems.front(),
         problems.size() == 1 ? "" : fmt::format(", and {} more", problems.size() - 1));
  std::vector<at::Tensor> tensors;
  for (const ExpectedTensor& tensor : expected) tensors.push_back(read_weight(source, tensor.name));
  return tensors;
}

at::Tensor by_channel(const std::array<double, 3>& values, at::Device device) {
  return at::tensor(at::ArrayRef<double>(values), at::kFloat).view({1, 3, 1, 1}).to(device);
}

}  // namespace

std::array<std::int64_t, 2> Lpips::parameter_counts() {
  const auto count = [](const std::vector<ExpectedTensor>& tensors) {
    std::int64_t sum = 0;
    for (const ExpectedTensor& tensor : tensors) sum += c10::multiply_integers(tensor.shape);
    return sum;
  };
  return {count(trunk_tensors(false)), count(head_tensors())};
}

Lpips Lpips::load(const std::filesystem::path& trunk, const std::filesystem::path& heads,
                  const FrozenPlace& place) {
  return {source_of(WeightsFile::open(trunk)), source_of(WeightsFile::open(heads)), place};
}

Lpips::Lpips(const WeightsSource& trunk, const WeightsSource& heads, const FrozenPlace& place)
    : place_(place),
      shift_(by_channel(image_mean, place.device)),
      scale_(by_channel(image_deviation, place.device)) {
  const bool of_lpips = trunk.types.contains("net.slice1.0.weight");
  const auto trunk_weights = read_all(trunk, trunk_tensors(of_lpips), "VGG16");
  const auto head_weights = read_all(heads, head_tensors(), "heads for VGG16");
  NamedTensors all;
  for (std::size_t i = 0; i < trunk_weights.size(); ++i)
    all.emplace_back(trunk_tensors(false)[i].name, trunk_weights[i]);
  for (std::size_t i = 0; i < levels; ++i) {
    if (head_weights[i].min().item<float>() < 0)
      fail(ExitCode::checkpoint, "{}: {} holds negative weights, which LPIPS never has", heads.where,
           head_tensors()[i].name);
    all.emplace_back(head_tensors()[i].name, head_weights[i]);
    heads_[i] = head_weights[i].to(place.device);
  }
  digest_ = weights_digest(all);
  for (std::size_t i = 0; i < trunk_weights.size(); i += 2)
    convolutions_.emplace_back(trunk_weights[i], trunk_weights[i + 1], ConvolutionShape{.padding = {1, 1}},
                               place);
}

std::array<at::Tensor, Lpips::levels> Lpips::unit_features(const at::Tensor& images) const {
  std::array<at::Tensor, levels> features;
  at::Tensor h = ((images.to(place_.device, at::kFloat) - shift_) / scale_)
                     .to(place_.dtype)
                     .contiguous(at::MemoryFormat::ChannelsLast);
  std::size_t level = 0;
  for (std::size_t i = 0; i < std::size(layers); ++i) {
    if (layers[i].level != level) h = at::max_pool2d(h, {2, 2}, {2, 2});
    level = layers[i].level;
    h = convolutions_[i](h);
    features[level] = h;  // the last convolution of a level stays
  }
  for (at::Tensor& f : features) {
    f = f.to(at::kFloat);
    // Where all is zero the root has no gradient, and the quotient is zero whatever it is divided by.
    f = f / (f.square().sum(1, /*keepdim=*/true).clamp_min(least_square).sqrt() + unit_eps);
  }
  return features;
}

at::Tensor Lpips::distance(const at::Tensor& a, const at::Tensor& b) const {
  TORCH_CHECK(a.sizes() == b.sizes() && a.dim() == 4 && a.size(1) == 3 && a.size(2) >= 16 && a.size(3) >= 16,
              "LPIPS of ", a.sizes(), " and ", b.sizes());
  const auto first = unit_features(a), second = unit_features(b);
  at::Tensor sum = at::zeros({a.size(0)}, at::TensorOptions(at::kFloat).device(place_.device));
  for (std::size_t level = 0; level < levels; ++level)
    sum = sum + ((first[level] - second[level]).square() * heads_[level]).sum(1).mean({1, 2});
  return sum;
}

}  // namespace ganymede
