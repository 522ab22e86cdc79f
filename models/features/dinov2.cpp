#include "models/features/dinov2.h"

#include <ATen/ATen.h>
#include <ATen/ops/_upsample_bicubic2d_aa.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/upsample_bicubic2d.h>

#include <cmath>

#include "models/features/resizing_extractor.h"
#include "models/features/weights_digest.h"

namespace ganymede {
namespace {

constexpr std::int64_t image_size = 224, patch = 14, side = image_size / patch, head_width = 64;
constexpr double norm_eps = 1e-6;

/// What a file's shapes say of the network.
struct Plan {
  std::int64_t width = 0, depth = 0, positions = 0, registers = 0;
  bool swiglu = false;

  std::int64_t hidden() const { return swiglu ? (width * 4 * 2 / 3 + 7) / 8 * 8 : width * 4; }
};

struct PublishedSize {
  const char* name;
  std::int64_t width, depth;
};
constexpr PublishedSize published[] = {{"dinov2-vits14", 384, 12},
                                       {"dinov2-vitb14", 768, 12},
                                       {"dinov2-vitl14", 1024, 24},
                                       {"dinov2-vitg14", 1536, 40}};

std::int64_t dimension(const WeightsSource& source, const std::string& name, std::size_t axis) {
  const auto found = source.types.find(name);
  return found == source.types.end() || found->second.shape.size() <= axis ? 0 : found->second.shape[axis];
}

/// A published width asks for its depth; of other widths as many blocks as there are.
Plan plan_of(const WeightsSource& source) {
  Plan plan{.width = dimension(source, "cls_token", 2),
            .positions = dimension(source, "pos_embed", 1),
            .registers = dimension(source, "register_tokens", 1),
            .swiglu = source.types.contains("blocks.0.mlp.w12.weight")};
  for (const PublishedSize& size : published)
    if (size.width == plan.width) plan.depth = size.depth;
  if (plan.depth == 0)
    while (source.types.contains(fmt::format("blocks.{}.norm1.weight", plan.depth))) ++plan.depth;
  return plan;
}

bool is_square(std::int64_t count) {
  const auto root = static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(count))));
  return count > 0 && root * root == count;
}

std::vector<ExpectedTensor> tensors_of(const Plan& plan) {
  const std::int64_t d = plan.width;
  std::vector<ExpectedTensor> tensors{{"cls_token", {1, 1, d}},
                                      {"pos_embed", {1, plan.positions, d}},
                                      {"patch_embed.proj.weight", {d, 3, patch, patch}},
                                      {"patch_embed.proj.bias", {d}},
                                      {"norm.weight", {d}},
                                      {"norm.bias", {d}}};
  if (plan.registers > 0) tensors.push_back({"register_tokens", {1, plan.registers, d}});
  for (std::int64_t i = 0; i < plan.depth; ++i) {
    const auto add = [&](const char* name, std::vector<std::int64_t> shape) {
      tensors.push_back({fmt::format("blocks.{}.{}", i, name), std::move(shape)});
    };
    const auto layer = [&](const std::string& name, std::int64_t out, std::int64_t in) {
      add((name + ".weight").c_str(), {out, in});
      add((name + ".bias").c_str(), {out});
    };
    for (const char* name :
         {"norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias", "ls1.gamma", "ls2.gamma"})
      add(name, {d});
    layer("attn.qkv", 3 * d, d);
    layer("attn.proj", d, d);
    layer(plan.swiglu ? "mlp.w12" : "mlp.fc1", plan.hidden() * (plan.swiglu ? 2 : 1), d);
    layer(plan.swiglu ? "mlp.w3" : "mlp.fc2", d, plan.hidden());
  }
  return tensors;
}

WeightsReport examine(const WeightsSource& source) {
  const Plan plan = plan_of(source);
  if (plan.width == 0 || plan.width % head_width != 0 || plan.depth == 0 || !is_square(plan.positions - 1))
    return {};
  WeightsReport report{.layout = "names of facebookresearch/dinov2"};
  for (const PublishedSize& size : published)
    if (size.width == plan.width) report.network = size.name;
  if (report.network.empty()) {
    report.network = fmt::format("dinov2-{}x{}", plan.width, plan.depth);
    report.caveat = "the network has none of DINOv2's published sizes";
  }
  if (plan.registers > 0) report.network += "-reg";
  compare(report, source, tensors_of(plan));
  std::erase(report.unused, "mask_token");
  return report;
}

class Dinov2 final : public ResizingExtractor {
 public:
  Dinov2(const NamedTensors& weights, const Plan& plan, ExtractorDescription description,
         FeatureResize resize, const FrozenPlace& place)
      : ResizingExtractor(std::move(description), {.pool = true},
                          FeatureResizer(resize, image_size, imagenet_scale()), place),
        plan_(plan) {
    for (const auto& [name, tensor] : weights)
      weights_.emplace(name, tensor.to(place.device, name == "pos_embed" ? at::kFloat : place.dtype));
    weights_["pos_embed"] = positions(weights_.at("pos_embed")).to(place.dtype);
  }

 private:
  const at::Tensor& weight(const std::string& name) const { return weights_.at(name); }
  at::Tensor linear(const std::string& name, const at::Tensor& x) const {
    return at::linear(x, weight(name + ".weight"), weight(name + ".bias"));
  }
  at::Tensor norm(const std::string& name, const at::Tensor& x) const {
    return at::layer_norm(x, {plan_.width}, weight(name + ".weight"), weight(name + ".bias"), norm_eps);
  }

  /// [1, 1 + M^2, D] to [1, 1 + 16^2, D].
  at::Tensor positions(const at::Tensor& learned) const {
    const std::int64_t count = learned.size(1) - 1;
    const auto m = static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(count))));
    if (m == side) return learned;
    const at::Tensor grid = learned.narrow(1, 1, count).view({1, m, m, plan_.width}).permute({0, 3, 1, 2});
    const double factor = (static_cast<double>(side) + 0.1) / static_cast<double>(m);
    const at::Tensor small =
        plan_.registers > 0
            ? at::_upsample_bicubic2d_aa(grid.contiguous(), {side, side}, /*align_corners=*/false)
            : at::upsample_bicubic2d(grid.contiguous(), {side, side}, /*align_corners=*/false, factor,
                                     factor);
    return at::cat(
        {learned.narrow(1, 0, 1), small.permute({0, 2, 3, 1}).reshape({1, side * side, plan_.width})}, 1);
  }

  at::Tensor attention(const std::string& name, const at::Tensor& x) const {
    const std::int64_t n = x.size(0), tokens = x.size(1);
    const at::Tensor qkv = linear(name + ".qkv", x)
                               .view({n, tokens, 3, plan_.width / head_width, head_width})
                               .permute({2, 0, 3, 1, 4});
    const at::Tensor mixed = at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2]);
    return linear(name + ".proj", mixed.transpose(1, 2).reshape({n, tokens, plan_.width}));
  }

  at::Tensor mlp(const std::string& name, const at::Tensor& x) const {
    if (!plan_.swiglu) return linear(name + ".fc2", at::gelu(linear(name + ".fc1", x)));
    const auto halves = linear(name + ".w12", x).chunk(2, -1);
    return linear(name + ".w3", at::silu(halves[0]) * halves[1]);
  }

  Features forward(const at::Tensor& x, const FeatureRequest&) override {
    const std::int64_t n = x.size(0);
    const at::Tensor patches =
        at::conv2d(x, weight("patch_embed.proj.weight"), weight("patch_embed.proj.bias"), {patch, patch})
            .flatten(2)
            .transpose(1, 2);
    at::Tensor h = at::cat({weight("cls_token").expand({n, 1, -1}), patches}, 1) + weight("pos_embed");
    if (plan_.registers > 0)
      h = at::cat(
          {h.narrow(1, 0, 1), weight("register_tokens").expand({n, -1, -1}), h.narrow(1, 1, side * side)}, 1);
    for (std::int64_t i = 0; i < plan_.depth; ++i) {
      const std::string block = fmt::format("blocks.{}.", i);
      h = h + attention(block + "attn", norm(block + "norm1", h)) * weight(block + "ls1.gamma");
      h = h + mlp(block + "mlp", norm(block + "norm2", h)) * weight(block + "ls2.gamma");
    }
    return {.pool = norm("norm", h.select(1, 0)), .spatial = {}, .logits = {}};
  }

  Plan plan_;
  std::map<std::string, at::Tensor> weights_;
};

std::unique_ptr<FeatureExtractor> make(const WeightsSource& source, const ExtractorOptions& options) {
  const Plan plan = plan_of(source);
  const WeightsReport report = examine(source);
  NamedTensors weights;
  for (const ExpectedTensor& tensor : tensors_of(plan))
    weights.emplace_back(tensor.name, read_weight(source, tensor.name));
  return std::make_unique<Dinov2>(
      weights, plan,
      ExtractorDescription{.name = report.network,
                           .origin = std::filesystem::path(source.where).filename(),
                           .digest = weights_digest(weights),
                           .caveat = report.caveat,
                           .dimensions = plan.width},
      options.resize.empty() ? FeatureResize::pillow : feature_resize(options.resize), place_of(options));
}

}  // namespace

KnownWeights dinov2() {
  return {examine, make};
}

}  // namespace ganymede
