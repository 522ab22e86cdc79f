#include "models/exchange/latent_scale.h"

#include <ATen/ATen.h>

#include "core/error.h"

namespace ganymede {
namespace {

constexpr double equal_to_rounding = 1e-6;
constexpr std::string_view codes = "quantize.embedding.weight";

bool quantises(const NamedTensors& weights) {
  return std::ranges::any_of(weights, [](const auto& item) { return item.first == codes; });
}

/// The layer after the encoder: rows of means (or of vectors), then, of a distribution, of logarithms of variances.
at::Tensor told(const at::Tensor& tensor, bool is_bias, const at::Tensor& mean, const at::Tensor& d) {
  const std::int64_t z = mean.size(0);
  const at::Tensor values = tensor.narrow(0, 0, z);
  const at::Tensor moved = is_bias ? (values - mean) / d : values / d.view({-1, 1, 1, 1});
  if (tensor.size(0) == z) return moved;
  const at::Tensor variances = tensor.narrow(0, z, z);
  return at::cat({moved, is_bias ? variances - 2 * d.log() : variances});
}

}  // namespace

ScaledFirstStage scaled_first_stage(const NamedTensors& weights, const at::Tensor& mean,
                                    const at::Tensor& deviation) {
  const at::Tensor m = mean.to(at::kDouble), all = deviation.to(at::kDouble);
  const double first = all[0].item<double>();
  const bool alike = (all - first).abs().max().item<double>() <= equal_to_rounding * first;
  if (!alike && quantises(weights))
    fail(ExitCode::options,
         "VQModel takes the nearest code where all channels have one scale, and this run's latents have one "
         "for each "
         "channel: encode the images anew");
  const double common = alike ? first : 1;
  const at::Tensor d = alike ? at::ones_like(all) : all;
  at::Tensor post;
  for (const auto& [name, tensor] : weights)
    if (name == "post_quant_conv.weight") post = tensor.to(at::kDouble);
  ScaledFirstStage scaled{{}, 1 / common};
  for (const auto& [name, tensor] : weights) {
    const at::Tensor exact = tensor.to(at::kDouble);
    at::Tensor other;
    if (name == "quant_conv.weight" || name == "quant_conv.bias")
      other = told(exact, name.ends_with("bias"), m, d);
    else if (name == "post_quant_conv.weight")
      other = exact * d.view({1, -1, 1, 1});
    else if (name == "post_quant_conv.bias")
      other = exact + post.flatten(1).matmul(m);
    else if (name == codes)
      other = exact - m;
    scaled.weights.emplace_back(name, other.defined() ? other.to(tensor.scalar_type()) : tensor);
  }
  return scaled;
}

}  // namespace ganymede
