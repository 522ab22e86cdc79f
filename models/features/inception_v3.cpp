#include "models/features/inception_v3.h"

#include <ATen/ATen.h>

#include "models/features/frozen_pooling.h"
#include "models/features/inception_names.h"

namespace ganymede {
namespace {

constexpr double batch_norm_eps = 1e-3;

/// Pools by the mean in front of its 1x1 convolution.
bool is_mean_pooled(const std::string& name) {
  return name.ends_with(".branch_pool") && !name.starts_with("Mixed_7c");
}

}  // namespace

/// The channels of a block's branches, each written to its place.
class InceptionV3::Joined {
 public:
  Joined(const at::Tensor& x, std::int64_t channels, std::int64_t height, std::int64_t width)
      : all_(at::empty({x.size(0), channels, height, width},
                       x.options().memory_format(at::MemoryFormat::ChannelsLast))) {}

  at::Tensor next(std::int64_t channels) {
    const at::Tensor part = all_.narrow(1, used_, channels);
    used_ += channels;
    return part;
  }
  void add(const at::Tensor& branch) { next(branch.size(1)).copy_(branch); }

  const at::Tensor& all() const {
    TORCH_CHECK(used_ == all_.size(1), "branches of ", used_, " channels in ", all_.sizes());
    return all_;
  }

 private:
  at::Tensor all_;
  std::int64_t used_ = 0;
};

InceptionV3::InceptionV3(const NamedTensors& weights, const FrozenPlace& place) {
  const std::map<std::string, at::Tensor> by_name(weights.begin(), weights.end());
  for (const InceptionConvolution& c : inception_convolutions()) {
    const auto figure = [&](const char* name) { return by_name.at(c.name + name).to(at::kDouble); };
    const at::Tensor scale = figure(".bn.weight") / (figure(".bn.running_var") + batch_norm_eps).sqrt();
    const at::Tensor weight = figure(".conv.weight") * scale.view({-1, 1, 1, 1});
    at::Tensor bias = figure(".bn.bias") - figure(".bn.running_mean") * scale;
    const bool mean_pooled = is_mean_pooled(c.name);
    if (mean_pooled) {
      pooled_bias_[c.name.substr(0, c.name.find('.'))] = bias.to(place.device, at::kFloat);
      bias.reset();
    }
    convolutions_.emplace(
        c.name, FrozenConvolution(weight, bias,
                                  {.stride = c.stride, .padding = c.padding, .relu = !mean_pooled}, place));
  }
  output_ = by_name.at("fc.weight").to(place.device, at::kFloat);
}

Features InceptionV3::forward(const at::Tensor& x, const FeatureRequest& request) const {
  Features features;
  at::Tensor h = stem(x);
  for (const char* block : {"Mixed_5b", "Mixed_5c", "Mixed_5d"}) h = mixed_a(block, h);
  h = mixed_b("Mixed_6a", h);
  for (const char* block : {"Mixed_6b", "Mixed_6c"}) h = mixed_c(block, h);
  at::Tensor branch;
  h = mixed_c("Mixed_6d", h, &branch);
  if (request.spatial) features.spatial = branch.narrow(1, 0, 7).permute({0, 2, 3, 1}).flatten(1);
  if (!request.pool && !request.logits) return features;
  h = mixed_c("Mixed_6e", h);
  h = mixed_d("Mixed_7a", h);
  h = mixed_e("Mixed_7b", h, /*pools_by_maximum=*/false);
  h = mixed_e("Mixed_7c", h, /*pools_by_maximum=*/true);
  features.pool = h.mean({2, 3}, /*keepdim=*/false, at::kFloat);
  if (request.logits) features.logits = at::matmul(features.pool, output_.t());
  return features;
}

at::Tensor InceptionV3::chain(const std::string& stem, int layers, at::Tensor x) const {
  for (int layer = 1; layer <= layers; ++layer) x = conv(fmt::format("{}_{}", stem, layer), x);
  return x;
}

void InceptionV3::pool_by_mean(const std::string& block, const at::Tensor& x, Joined& out) const {
  const at::Tensor projected = conv(block + ".branch_pool", x);
  mean_pool_relu_into(projected, pooled_bias_.at(block), out.next(projected.size(1)));
}

at::Tensor InceptionV3::stem(const at::Tensor& x) const {
  at::Tensor h = conv("Conv2d_1a_3x3", x);
  h = conv("Conv2d_2a_3x3", h);
  h = max_pool(conv("Conv2d_2b_3x3", h), 2, 0);
  h = conv("Conv2d_3b_1x1", h);
  return max_pool(conv("Conv2d_4a_3x3", h), 2, 0);
}

at::Tensor InceptionV3::mixed_a(const std::string& block, const at::Tensor& x) const {
  const std::int64_t pooled = pooled_bias_.at(block).size(0);
  Joined out(x, 64 + 64 + 96 + pooled, x.size(2), x.size(3));
  out.add(conv(block + ".branch1x1", x));
  out.add(chain(block + ".branch5x5", 2, x));
  out.add(chain(block + ".branch3x3dbl", 3, x));
  pool_by_mean(block, x, out);
  return out.all();
}

at::Tensor InceptionV3::mixed_b(const std::string& block, const at::Tensor& x) const {
  const at::Tensor branch = conv(block + ".branch3x3", x);
  Joined out(x, 384 + 96 + x.size(1), branch.size(2), branch.size(3));
  out.add(branch);
  out.add(chain(block + ".branch3x3dbl", 3, x));
  max_pool_into(x, 2, 0, out.next(x.size(1)));
  return out.all();
}

at::Tensor InceptionV3::mixed_c(const std::string& block, const at::Tensor& x, at::Tensor* branch1x1) const {
  Joined out(x, 4 * 192, x.size(2), x.size(3));
  const at::Tensor branch = conv(block + ".branch1x1", x);
  if (branch1x1 != nullptr) *branch1x1 = branch;
  out.add(branch);
  out.add(chain(block + ".branch7x7", 3, x));
  out.add(chain(block + ".branch7x7dbl", 5, x));
  pool_by_mean(block, x, out);
  return out.all();
}

at::Tensor InceptionV3::mixed_d(const std::string& block, const at::Tensor& x) const {
  const at::Tensor branch = chain(block + ".branch3x3", 2, x);
  Joined out(x, 320 + 192 + x.size(1), branch.size(2), branch.size(3));
  out.add(branch);
  out.add(chain(block + ".branch7x7x3", 4, x));
  max_pool_into(x, 2, 0, out.next(x.size(1)));
  return out.all();
}

at::Tensor InceptionV3::mixed_e(const std::string& block, const at::Tensor& x, bool pools_by_maximum) const {
  Joined out(x, 320 + 4 * 384 + 192, x.size(2), x.size(3));
  out.add(conv(block + ".branch1x1", x));
  const at::Tensor narrow = chain(block + ".branch3x3", 1, x), wide = chain(block + ".branch3x3dbl", 2, x);
  out.add(conv(block + ".branch3x3_2a", narrow));
  out.add(conv(block + ".branch3x3_2b", narrow));
  out.add(conv(block + ".branch3x3dbl_3a", wide));
  out.add(conv(block + ".branch3x3dbl_3b", wide));
  if (pools_by_maximum)
    out.add(conv(block + ".branch_pool", max_pool(x, 1, 1)));
  else
    pool_by_mean(block, x, out);
  return out.all();
}

}  // namespace ganymede
