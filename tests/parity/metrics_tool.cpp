// Lets Python see what the mathematics of the scores gives; prints one line of JSON:
//   metrics_tool frechet FILE          tensors real, fake: by moments and by features
//   metrics_tool statistics FILE       mu1, sigma1, mu2, sigma2
//   metrics_tool kernel FILE           real, fake, real_subsets, fake_subsets
//   metrics_tool inception FILE SPLITS logits, positions
//   metrics_tool manifold FILE K       real, fake
//   metrics_tool similarity FILE       a, b (uint8)
//   metrics_tool pyramid FILE          images, and levels 0, 1, ...: how far ours are from those
//   metrics_tool wasserstein FILE      a, b
//   metrics_tool time FILE             as statistics: seconds of each step
#include <fmt/format.h>

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "core/error.h"
#include "core/metrics/frechet.h"
#include "core/metrics/image_similarity.h"
#include "core/metrics/inception_score.h"
#include "core/metrics/kernel_distance.h"
#include "core/metrics/manifold_scores.h"
#include "core/metrics/sliced_wasserstein.h"
#include "core/safetensors.h"

namespace ganymede {
namespace {

using Json = nlohmann::json;

std::vector<double> numbers(const at::Tensor& tensor) {
  const at::Tensor values = tensor.to(at::kDouble).contiguous();
  return {values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel()};
}

Json frechet(const SafetensorsFile& file, std::int64_t) {
  const at::Tensor real = file.read("real"), fake = file.read("fake");
  Moments real_moments(real.size(1)), fake_moments(fake.size(1));
  for (const at::Tensor& rows : real.split(64)) real_moments.add(rows);
  for (const at::Tensor& rows : fake.split(7)) fake_moments.add(rows);
  const FrechetDistance distance = frechet_distance(Gaussian::of(real_moments), Gaussian::of(fake_moments));
  return {{"moments", distance.value},
          {"features", frechet_distance(Gaussian::of_features(real), Gaussian::of_features(fake)).value},
          {"undersampled", distance.undersampled}};
}

Json statistics(const SafetensorsFile& file, std::int64_t) {
  return {{"value", frechet_distance(Gaussian::of(file.read("mu1"), file.read("sigma1")),
                                     Gaussian::of(file.read("mu2"), file.read("sigma2")))
                        .value}};
}

Json kernel(const SafetensorsFile& file, std::int64_t) {
  const KernelDistance result = kernel_distance(file.read("real"), file.read("fake"),
                                                file.read("real_subsets"), file.read("fake_subsets"));
  return {{"mean", result.mean}, {"deviation", result.deviation}};
}

Json inception(const SafetensorsFile& file, std::int64_t splits) {
  const at::Tensor logits = file.read("logits");
  InceptionScore score(logits.size(0), splits, logits.size(1));
  score.add(logits, file.read("positions"));
  return {{"mean", score.result().mean}, {"deviation", score.result().deviation}};
}

Json manifold(const SafetensorsFile& file, std::int64_t k) {
  const ManifoldScores scores = manifold_scores(file.read("real"), file.read("fake"), k);
  return {{"precision", scores.precision},
          {"recall", scores.recall},
          {"density", scores.density},
          {"coverage", scores.coverage}};
}

Json similarity(const SafetensorsFile& file, std::int64_t) {
  const at::Tensor a = file.read("a"), b = file.read("b");
  return {{"psnr", numbers(psnr(a, b))}, {"ssim", numbers(ssim(a, b))}, {"ms_ssim", numbers(ms_ssim(a, b))}};
}

Json pyramid(const SafetensorsFile& file, std::int64_t) {
  std::vector<double> errors;
  for (const at::Tensor& level : laplacian_pyramid(file.read("images")))
    errors.push_back((level - file.read(fmt::format("level{}", errors.size()))).abs().max().item<double>());
  return {{"errors", errors}};
}

Json wasserstein(const SafetensorsFile& file, std::int64_t) {
  return {{"distances", numbers(sorted_distance(file.read("a"), file.read("b")))}};
}

Json time(const SafetensorsFile& file, std::int64_t) {
  const at::Tensor mu1 = file.read("mu1"), sigma1 = file.read("sigma1");
  const at::Tensor mu2 = file.read("mu2"), sigma2 = file.read("sigma2");
  const auto start = std::chrono::steady_clock::now();
  const Gaussian reference = Gaussian::of(mu1, sigma1);
  const auto ready = std::chrono::steady_clock::now();
  const double value = frechet_distance(Gaussian::of(mu2, sigma2), reference).value;
  const auto end = std::chrono::steady_clock::now();
  const auto seconds = [](auto duration) { return std::chrono::duration<double>(duration).count(); };
  return {{"value", value}, {"reference_s", seconds(ready - start)}, {"distance_s", seconds(end - ready)}};
}

using Metric = Json (*)(const SafetensorsFile&, std::int64_t);
const std::map<std::string, Metric> metrics{
    {"frechet", frechet},     {"statistics", statistics},   {"kernel", kernel},
    {"inception", inception}, {"manifold", manifold},       {"similarity", similarity},
    {"pyramid", pyramid},     {"wasserstein", wasserstein}, {"time", time}};

}  // namespace
}  // namespace ganymede

int main(int argc, char** argv) {
  using namespace ganymede;
  if (argc < 3 || !metrics.contains(argv[1])) return 2;
  try {
    const SafetensorsFile file = SafetensorsFile::open(argv[2]);
    fmt::print("{}\n", metrics.at(argv[1])(file, argc > 3 ? std::stoll(argv[3]) : 0).dump());
    return 0;
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.code());
  }
}
