#include "models/features/inception_names.h"

#include <ATen/ATen.h>

#include <string_view>

#include "core/error.h"

namespace ganymede {
namespace {

/// Writes the table down block by block.
class Table {
 public:
  Table() {
    add("Conv2d_1a_3x3", 3, 32, {3, 3}, {2, 2});
    add("Conv2d_2a_3x3", 32, 32, {3, 3});
    add("Conv2d_2b_3x3", 32, 64, {3, 3}, {1, 1}, {1, 1});
    add("Conv2d_3b_1x1", 64, 80, {1, 1});
    add("Conv2d_4a_3x3", 80, 192, {3, 3});
    block_a("Mixed_5b.", 192, 32);
    block_a("Mixed_5c.", 256, 64);
    block_a("Mixed_5d.", 288, 64);
    block_b("Mixed_6a.");
    block_c("Mixed_6b.", 128);
    block_c("Mixed_6c.", 160);
    block_c("Mixed_6d.", 160);
    block_c("Mixed_6e.", 192);
    block_d("Mixed_7a.");
    block_e("Mixed_7b.", 1280);
    block_e("Mixed_7c.", 2048);
  }

  std::vector<InceptionConvolution> rows;

 private:
  using Pair = std::array<std::int64_t, 2>;

  void add(const std::string& name, std::int64_t in, std::int64_t out, Pair kernel, Pair stride = {1, 1},
           Pair padding = {0, 0}) {
    rows.push_back({name, in, out, kernel, stride, padding});
  }
  /// Stride 1, and the padding that keeps the size.
  void same(const std::string& name, std::int64_t in, std::int64_t out, Pair kernel) {
    add(name, in, out, kernel, {1, 1}, {kernel[0] / 2, kernel[1] / 2});
  }

  void block_a(const std::string& block, std::int64_t in, std::int64_t pooled) {
    same(block + "branch1x1", in, 64, {1, 1});
    same(block + "branch5x5_1", in, 48, {1, 1});
    same(block + "branch5x5_2", 48, 64, {5, 5});
    same(block + "branch3x3dbl_1", in, 64, {1, 1});
    same(block + "branch3x3dbl_2", 64, 96, {3, 3});
    same(block + "branch3x3dbl_3", 96, 96, {3, 3});
    same(block + "branch_pool", in, pooled, {1, 1});
  }
  void block_b(const std::string& block) {
    add(block + "branch3x3", 288, 384, {3, 3}, {2, 2});
    same(block + "branch3x3dbl_1", 288, 64, {1, 1});
    same(block + "branch3x3dbl_2", 64, 96, {3, 3});
    add(block + "branch3x3dbl_3", 96, 96, {3, 3}, {2, 2});
  }
  void block_c(const std::string& block, std::int64_t inner) {
    same(block + "branch1x1", 768, 192, {1, 1});
    same(block + "branch7x7_1", 768, inner, {1, 1});
    same(block + "branch7x7_2", inner, inner, {1, 7});
    same(block + "branch7x7_3", inner, 192, {7, 1});
    same(block + "branch7x7dbl_1", 768, inner, {1, 1});
    same(block + "branch7x7dbl_2", inner, inner, {7, 1});
    same(block + "branch7x7dbl_3", inner, inner, {1, 7});
    same(block + "branch7x7dbl_4", inner, inner, {7, 1});
    same(block + "branch7x7dbl_5", inner, 192, {1, 7});
    same(block + "branch_pool", 768, 192, {1, 1});
  }
  void block_d(const std::string& block) {
    same(block + "branch3x3_1", 768, 192, {1, 1});
    add(block + "branch3x3_2", 192, 320, {3, 3}, {2, 2});
    same(block + "branch7x7x3_1", 768, 192, {1, 1});
    same(block + "branch7x7x3_2", 192, 192, {1, 7});
    same(block + "branch7x7x3_3", 192, 192, {7, 1});
    add(block + "branch7x7x3_4", 192, 192, {3, 3}, {2, 2});
  }
  void block_e(const std::string& block, std::int64_t in) {
    same(block + "branch1x1", in, 320, {1, 1});
    same(block + "branch3x3_1", in, 384, {1, 1});
    same(block + "branch3x3_2a", 384, 384, {1, 3});
    same(block + "branch3x3_2b", 384, 384, {3, 1});
    same(block + "branch3x3dbl_1", in, 448, {1, 1});
    same(block + "branch3x3dbl_2", 448, 384, {3, 3});
    same(block + "branch3x3dbl_3a", 384, 384, {1, 3});
    same(block + "branch3x3dbl_3b", 384, 384, {3, 1});
    same(block + "branch_pool", in, 192, {1, 1});
  }
};

constexpr std::pair<std::string_view, std::string_view> stem_names[] = {
    {"Conv2d_1a_3x3", "conv"},   {"Conv2d_2a_3x3", "conv_1"}, {"Conv2d_2b_3x3", "conv_2"},
    {"Conv2d_3b_1x1", "conv_3"}, {"Conv2d_4a_3x3", "conv_4"},
};

constexpr std::string_view block_order[] = {"5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"};

/// "conv", "conv_1", "conv_2", ...
std::string numbered(std::string_view stem, std::size_t index) {
  return index == 0 ? std::string(stem) : fmt::format("{}_{}", stem, index);
}

/// Mixed_7b and 7c, where the towers are not modules of their own.
constexpr std::pair<std::string_view, std::string_view> wide_names[] = {
    {"branch1x1", "conv"},
    {"branch3x3_1", "tower_conv"},
    {"branch3x3_2a", "tower_mixed_conv"},
    {"branch3x3_2b", "tower_mixed_conv_1"},
    {"branch3x3dbl_1", "tower_1_conv"},
    {"branch3x3dbl_2", "tower_1_conv_1"},
    {"branch3x3dbl_3a", "tower_1_mixed_conv"},
    {"branch3x3dbl_3b", "tower_1_mixed_conv_1"},
    {"branch_pool", "tower_2_conv"},
};

/// The other blocks: a branch is a tower, its layers are numbered.
std::string tower_name(std::string_view block, std::string_view branch) {
  if (branch == "branch1x1" || (block == "6a" && branch == "branch3x3")) return "conv";
  if (branch == "branch_pool") return "tower_2.conv";
  const std::size_t digit = branch.rfind('_') + 1;
  const auto layer = static_cast<std::size_t>(branch[digit] - '1');
  const std::string_view stem = branch.substr(0, digit - 1);
  const bool second = block == "7a" ? stem == "branch7x7x3" : block != "6a" && stem.ends_with("dbl");
  return (second ? "tower_1." : "tower.") + numbered("conv", layer);
}

template <class Names>
std::string look_up(const Names& pairs, std::string_view name) {
  return std::string(std::ranges::find(pairs, name, [](const auto& pair) { return pair.first; })->second);
}

struct Statistic {
  const char *torchvision, *nvidia;
};
constexpr Statistic statistics[] = {
    {"bn.bias", "beta"}, {"bn.running_mean", "mean"}, {"bn.running_var", "var"}};

}  // namespace

const std::vector<InceptionConvolution>& inception_convolutions() {
  static const Table table;
  return table.rows;
}

std::string nvidia_name(const std::string& torchvision_name) {
  const std::size_t dot = torchvision_name.find('.');
  if (dot == std::string::npos) return look_up(stem_names, torchvision_name);
  const std::string block = torchvision_name.substr(6, 2), branch = torchvision_name.substr(dot + 1);
  const auto index = static_cast<std::size_t>(std::ranges::find(block_order, block) - block_order);
  const bool wide = block == "7b" || block == "7c";
  return numbered("mixed", index) + "." + (wide ? look_up(wide_names, branch) : tower_name(block, branch));
}

std::vector<ExpectedTensor> inception_tensors(InceptionLayout layout, std::int64_t classes) {
  const bool nvidia = layout == InceptionLayout::nvidia;
  std::vector<ExpectedTensor> tensors;
  for (const InceptionConvolution& c : inception_convolutions()) {
    const std::string prefix = (nvidia ? "layers." + nvidia_name(c.name) : c.name) + ".";
    tensors.push_back(
        {prefix + (nvidia ? "weight" : "conv.weight"), {c.out, c.in, c.kernel[0], c.kernel[1]}});
    if (!nvidia) tensors.push_back({prefix + "bn.weight", {c.out}});
    for (const Statistic& s : statistics)
      tensors.push_back({prefix + (nvidia ? s.nvidia : s.torchvision), {c.out}});
  }
  const std::string output = nvidia ? "output." : "fc.";
  tensors.push_back({output + "weight", {classes, 2048}});
  tensors.push_back({output + "bias", {classes}});
  return tensors;
}

NamedTensors read_inception(const WeightsSource& source, InceptionLayout layout) {
  const bool nvidia = layout == InceptionLayout::nvidia;
  NamedTensors weights;
  const auto read = [&](const std::string& name, const std::string& theirs) {
    const at::Tensor& weight = weights.emplace_back(name, read_weight(source, theirs)).second;
    if (name.ends_with("running_var") && weight.min().item<float>() < 0)
      fail(ExitCode::checkpoint, "{}: {} holds a negative variance: the file is damaged", source.where,
           theirs);
  };
  for (const InceptionConvolution& c : inception_convolutions()) {
    const std::string prefix = nvidia ? "layers." + nvidia_name(c.name) + "." : c.name + ".";
    read(c.name + ".conv.weight", prefix + (nvidia ? "weight" : "conv.weight"));
    if (nvidia)
      weights.emplace_back(c.name + ".bn.weight", at::ones({c.out}));
    else
      read(c.name + ".bn.weight", prefix + "bn.weight");
    for (const Statistic& s : statistics)
      read(fmt::format("{}.{}", c.name, s.torchvision), prefix + (nvidia ? s.nvidia : s.torchvision));
  }
  const std::string output = nvidia ? "output." : "fc.";
  read("fc.weight", output + "weight");
  read("fc.bias", output + "bias");
  return weights;
}

}  // namespace ganymede
