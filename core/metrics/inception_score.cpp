#include "core/metrics/inception_score.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <stdexcept>

#include "core/error.h"
#include "core/metrics/moments.h"

namespace ganymede {
namespace {

constexpr std::int64_t rows_at_once = 4096;

}  // namespace

InceptionScore::InceptionScore(std::int64_t samples, std::int64_t splits, std::int64_t classes)
    : samples_(samples), splits_(splits), sums_(at::zeros({splits, 2 + classes}, at::kDouble)) {
  if (samples < splits)
    fail(ExitCode::options, "an Inception score of {} samples in {} splits: each split needs a sample",
         samples, splits);
}

void InceptionScore::add(const at::Tensor& logits, const at::Tensor& positions) {
  check_features(logits, sums_.size(1) - 2);
  TORCH_CHECK(logits.size(0) == positions.size(0), "InceptionScore: ", logits.size(0), " logits, ",
              positions.size(0), " positions");
  if (positions.size(0) == 0) return;
  TORCH_CHECK(positions.min().item<std::int64_t>() >= 0 && positions.max().item<std::int64_t>() < samples_,
              "InceptionScore: a position outside [0, ", samples_, ")");
  // The s with floor(s N / S) <= position < floor((s + 1) N / S).
  const at::Tensor split = ((positions + 1) * splits_ - 1).floor_divide(samples_);
  for (std::int64_t begin = 0; begin < logits.size(0); begin += rows_at_once) {
    const std::int64_t rows = std::min(rows_at_once, logits.size(0) - begin);
    const at::Tensor log_p = logits.narrow(0, begin, rows).to(at::kDouble).log_softmax(1), p = log_p.exp();
    const at::Tensor information = (p * log_p).sum(1, true);
    sums_.index_add_(0, split.narrow(0, begin, rows),
                     at::cat({at::ones_like(information), information, p}, 1));
  }
}

InceptionScore::Result InceptionScore::result() const {
  std::vector<double> scores;
  for (std::int64_t split = 0; split < splits_; ++split) {
    const std::int64_t wanted = (split + 1) * samples_ / splits_ - split * samples_ / splits_;
    const double count = sums_[split][0].item<double>();
    if (count != static_cast<double>(wanted))
      throw std::logic_error("InceptionScore: samples are missing or came twice");
    const at::Tensor p = sums_[split].narrow(0, 2, sums_.size(1) - 2) / count;
    const double marginal = at::xlogy(p, p).sum().item<double>();
    scores.push_back(std::exp(sums_[split][1].item<double>() / count - marginal));
  }
  const at::Tensor values = at::tensor(scores, at::kDouble);
  return {values.mean().item<double>(), values.std(false).item<double>()};
}

}  // namespace ganymede
