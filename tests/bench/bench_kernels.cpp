#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>

#include "core/adam.h"
#include "datasets/pixel_values.h"
#include "models/layers/dropout.h"
#include "models/layers/group_norm_silu.h"
#include "models/layers/normalise.h"
#include "models/layers/weighted.h"

// What each fused pass gains over the operations that it replaces, on one thread, at the sizes of BigGAN's CIFAR-10
// recipe or DDPM's with 16 images: both sides take turns. The last line is JSON; "ratio" is the smallest gain.

namespace ganymede {
namespace {

using Action = std::function<void()>;

double seconds(const Action& action) {
  const auto start = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

class Bench {
 public:
  explicit Bench(int turns) : turns_(turns) {}

  void compare(const std::string& name, const Action& ours, const Action& theirs) {
    std::vector<double> mine, other, ratios;
    ours();
    theirs();
    for (int turn = 0; turn < turns_; ++turn) {
      mine.push_back(seconds(ours));
      other.push_back(seconds(theirs));
      ratios.push_back(other.back() / mine.back());
    }
    const double ratio = median(ratios);
    fmt::print("{:<44} {:8.2f} ms  composed {:8.2f} ms  {:5.2f}x\n", name, median(mine) * 1e3,
               median(other) * 1e3, ratio);
    std::fflush(stdout);
    results_[name] = {
        {"ours_ms", median(mine) * 1e3}, {"composed_ms", median(other) * 1e3}, {"ratio", ratio}};
    least_ = std::min(least_, ratio);
  }

  std::string summary() const {
    return nlohmann::json{{"bench", "kernels"}, {"ratio", least_}, {"kernels", results_}}.dump();
  }

 private:
  int turns_;
  double least_ = 1e9;
  nlohmann::json results_;
};

constexpr std::int64_t images = 16, channels = 384;

at::Tensor map_of(at::ScalarType type, std::int64_t side) {
  return at::randn({images, channels, side, side}, type).contiguous(at::MemoryFormat::ChannelsLast);
}

void backward(const at::Tensor& y, const std::vector<at::Tensor>& inputs, const at::Tensor& g) {
  torch::autograd::grad({y}, inputs, {g});
}

void bench_normalise(Bench& bench, at::ScalarType type) {
  const auto alone = make_single_communicator();
  const at::Tensor x = map_of(type, 32).requires_grad_(true), g = map_of(type, 32);
  const at::Tensor gain = at::randn({images, channels}).requires_grad_(true),
                   bias = at::randn({images, channels}).requires_grad_(true);
  const auto wide = [&](const at::Tensor& figures) {
    return figures.to(type).view({images, channels, 1, 1});
  };
  bench.compare(
      fmt::format("batch norm + class gain + ReLU, {}", c10::toString(type)),
      [&] {
        const Normalisation normalisation{1e-5, Activation::relu};
        backward(normalise_batch(x, gain, bias, normalisation, {0, images, images}, *alone).y,
                 {x, gain, bias}, g);
      },
      [&] {
        const at::Tensor y = at::batch_norm(x, {}, {}, {}, {}, true, 0.1, 1e-5, false);
        backward(at::relu(y * wide(gain) + wide(bias)), {x, gain, bias}, g);
      });
}

void bench_weight(Bench& bench) {
  const at::Tensor weight =
      at::randn({channels, channels, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast).requires_grad_(true);
  const SpectralFactors spectral{at::randn({channels}), at::randn({channels * 9}), at::scalar_tensor(3.f)};
  const at::Tensor g = at::randn(weight.sizes(), at::kBFloat16).contiguous(at::MemoryFormat::ChannelsLast);
  bench.compare(
      "1/sigma with the cast to bfloat16",
      [&] {
        const at::Tensor made = make_weight(weight, WeightForm::plain, spectral, at::kBFloat16);
        backward(use_weight(weight, WeightForm::plain, spectral, made), {weight}, g);
      },
      [&] {
        const at::Tensor rows = weight.permute({0, 2, 3, 1}).flatten(1);
        backward((weight / at::dot(spectral.u, at::mv(rows, spectral.v))).to(at::kBFloat16), {weight}, g);
      });
}

void bench_folding(Bench& bench, at::ScalarType type) {
  Conv2d layer(channels, channels, 3, {});
  {
    const at::NoGradGuard no_grad;
    at::Tensor weight = layer.weight(), bias = layer.bias();
    weight.normal_(0, 0.02).set_data(weight.contiguous(at::MemoryFormat::ChannelsLast));
    bias.zero_();
  }
  const at::Tensor small = map_of(type, 16).requires_grad_(true),
                   large = map_of(type, 32).requires_grad_(true);
  const at::Tensor small_g = map_of(type, 16), large_g = map_of(type, 32);
  bench.compare(
      fmt::format("convolution after upsampling, {}", c10::toString(type)),
      [&] {
        backward(layer.forward_upsampled(small), {small, layer.weight(), layer.bias()}, large_g);
      },
      [&] {
        const at::Tensor x = at::upsample_nearest2d(small, at::IntArrayRef({32, 32}));
        backward(layer.forward(x), {small, layer.weight(), layer.bias()}, large_g);
      });
  bench.compare(
      fmt::format("convolution before pooling, {}", c10::toString(type)),
      [&] {
        backward(layer.forward_pooled(large), {large, layer.weight(), layer.bias()}, small_g);
      },
      [&] {
        backward(at::avg_pool2d(layer.forward(large), 2), {large, layer.weight(), layer.bias()}, small_g);
      });
}

/// Of DDPM's network for CIFAR-10.
at::Tensor denoised_map(at::ScalarType type) {
  return at::randn({images, 128, 32, 32}, type).contiguous(at::MemoryFormat::ChannelsLast);
}

void bench_group_norm(Bench& bench, at::ScalarType type) {
  const at::Tensor x = denoised_map(type).requires_grad_(true), g = denoised_map(type);
  const at::Tensor offset = at::randn({images, 128}).requires_grad_(true),
                   gain = at::randn({1, 128}).requires_grad_(true),
                   bias = at::randn({1, 128}).requires_grad_(true);
  bench.compare(
      fmt::format("time + group norm + SiLU, {}", c10::toString(type)),
      [&] {
        backward(group_norm_silu(x, offset, gain, bias, 32, 1e-6), {x, offset, gain, bias}, g);
      },
      [&] {
        const at::Tensor h = x + offset.to(type).view({images, 128, 1, 1});
        backward(at::silu(at::group_norm(h, 32, gain[0], bias[0], 1e-6)), {x, offset, gain, bias}, g);
      });
}

void bench_dropout(Bench& bench, at::ScalarType type) {
  const at::Tensor x = denoised_map(type).requires_grad_(true), g = denoised_map(type);
  const Dropout dropout(0.1, "layer");
  const LayerDraws draws{{.seed = 1, .phase = "denoiser"}, 0};
  bench.compare(
      fmt::format("dropout, {}", c10::toString(type)), [&] { backward(dropout.forward(x, &draws), {x}, g); },
      [&] { backward(at::dropout(x, 0.1, true), {x}, g); });
}

/// As many weights as G has, in as many tensors.
void bench_adam(Bench& bench) {
  constexpr std::int64_t count = 9'416'196, tensors = 60;
  const at::Tensor w = at::randn({count}), g = at::randn({count}), m = at::zeros({count}),
                   v = at::zeros({count}), average = w.clone();
  std::vector<at::Tensor> weights, gradients, first, second, averages, steps;
  for (std::int64_t i = 0; i < tensors; ++i) {
    for (std::vector<at::Tensor>* list : {&weights, &first, &second, &averages})
      list->push_back(at::zeros({count / tensors}));
    gradients.push_back(at::randn({count / tensors}));
    steps.push_back(at::ones({}));
  }
  bench.compare(
      "Adam + moving average",
      [&] {
        adam_step({1e-4, 0.5, 0.999, 1e-6, 1, 1}, w, g, m, v, {{average, 0.999}});
      },
      [&] {
        at::_fused_adam_(weights, gradients, first, second, {}, steps, 1e-4, 0.5, 0.999, 0, 1e-6, false,
                         false);
        at::_foreach_lerp_(averages, weights, 1e-3);
      });
}

void bench_pixels(Bench& bench) {
  constexpr std::int64_t count = 256, side = 32;
  const at::Tensor bytes = at::randint(0, 256, {count, 3, side, side}, at::kByte);
  const PixelValues values(ElementType::uint8, 0, 255);
  const at::Tensor out = at::empty({count, side, side, 3});
  const std::span<const std::byte> stored(static_cast<const std::byte*>(bytes.data_ptr()),
                                          static_cast<std::size_t>(bytes.numel()));
  constexpr std::int64_t image = 3 * side * side;
  bench.compare(
      "uint8 to float with flip, 256 images",
      [&] {
        for (std::int64_t i = 0; i < count; ++i)
          values.convert(stored.subspan(static_cast<std::size_t>(i * image), image), 3, side, side,
                         i % 2 == 0, at::kFloat, out.data_ptr<float>() + i * image);
      },
      [&] {
        const at::Tensor x =
            bytes.contiguous(at::MemoryFormat::ChannelsLast).to(at::kFloat).div_(127.5).sub_(1);
        at::cat({x.slice(0, 0, count / 2).flip({3}), x.slice(0, count / 2)});
      });
}

}  // namespace
}  // namespace ganymede

int main(int argc, char** argv) {
  using namespace ganymede;
  at::set_num_threads(1);
  Bench bench(argc > 1 ? std::stoi(argv[1]) : 7);
  bench_pixels(bench);
  bench_adam(bench);
  bench_weight(bench);
  for (const at::ScalarType type : {at::kBFloat16, at::kFloat}) {
    bench_normalise(bench, type);
    bench_folding(bench, type);
    bench_group_norm(bench, type);
    bench_dropout(bench, type);
  }
  fmt::print("{}\n", bench.summary());
}
