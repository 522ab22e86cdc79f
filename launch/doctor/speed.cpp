#include <ATen/ATen.h>

#include <chrono>

#include "launch/doctor/checks.h"

namespace ganymede {
namespace {

constexpr int most_times = 15, least_times = 3, products = 4;
constexpr double budget = 1;  // seconds, beyond the least
constexpr std::int64_t side_on_cpu = 512, side_on_gpu = 4096;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double seconds_of_products(const at::Tensor& a) {
  const auto begin = Clock::now();
  at::Tensor product = a;
  for (int k = 0; k < products; ++k) product = at::matmul(product, a);
  product[0][0].item<float>();  // the host waits for the device
  return seconds_since(begin);
}

double median_seconds(const at::Tensor& a) {
  std::vector<double> seconds;
  for (const auto begin = Clock::now(); std::ssize(seconds) < least_times ||
                                        (std::ssize(seconds) < most_times && seconds_since(begin) < budget);)
    seconds.push_back(seconds_of_products(a));
  return lower_median(seconds);
}

}  // namespace

Verdict examine_speed(ExaminedJob& job) {
  Process& process = job.process();
  const std::int64_t side = process.device().is_cpu() ? side_on_cpu : side_on_gpu;
  at::Tensor a;
  if (auto failed = job.failures_of([&] {
        a = at::full({side, side}, 1.0 / static_cast<double>(side), at::TensorOptions(process.device()));
        seconds_of_products(a);  // what runs first also loads and tunes
      }))
    return *failed;
  process.world().barrier();
  double own = 0;
  if (auto failed = job.failures_of([&] { own = median_seconds(a); })) return *failed;
  const std::vector<double> seconds = job.gather(own);
  const double median = lower_median(seconds);
  const double flops = 2.0 * products * static_cast<double>(side * side * side);
  std::string text = fmt::format("{} products of {} x {} matrices in {:.3g} ms ({:.3g} GFLOP/s)", products,
                                 side, side, 1e3 * median, 1e-9 * flops / median);
  if (seconds.size() > 1)
    text += fmt::format(", the median of the ranks; {:.3g} to {:.3g} ms", 1e3 * std::ranges::min(seconds),
                        1e3 * std::ranges::max(seconds));
  const std::vector<int> slow = far_above_median(seconds, job.request().slow);
  if (slow.empty()) return all_well(text);
  return warning(
      fmt::format("{}; slow, by {} times the median or more: {}: every step waits for the slowest: look "
                  "there for other processes, heat and lowered clocks, or leave the host out",
                  text, job.request().slow, places_text(slow, job.hosts())));
}

}  // namespace ganymede
