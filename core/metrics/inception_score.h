#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace ganymede {

/// Inception score (Salimans et al., "Improved techniques for training GANs", 2016, section 4): over each of
/// S splits of the samples,
///
///     IS = exp( mean_i KL(p(y | x_i) || p(y)) ) = exp( mean_i sum_y p_iy log p_iy - sum_y p_y log p_y ),
///
/// with p(y) the mean over the split. Split s holds the positions [floor(s N / S), floor((s + 1) N / S)):
/// torch-fidelity shuffles before it cuts, so hand in the places after its shuffle to get its number.
///
/// What a split needs of its samples is two sums, so that memory does not grow and ranks merge by one
/// all-reduce.
///
///     InceptionScore score(50000, 10, 1008);
///     score.add(logits, positions);                   // [n, 1008] and [n]
///     communicator.all_reduce(score.sums())->wait();
///     const auto [mean, deviation] = score.result();
class InceptionScore {
 public:
  struct Result {
    double mean = 0;
    double deviation = 0;  ///< between splits, over S as torch-fidelity's (torchmetrics' is over S - 1)
  };

  /// Error(`options`) if there are fewer samples than splits.
  InceptionScore(std::int64_t samples, std::int64_t splits, std::int64_t classes);

  /// Takes in logits [n, classes] of any floating type, of the samples at `positions` [n] int64 in [0,
  /// samples). Throws as check_features.
  void add(const at::Tensor& logits, const at::Tensor& positions);

  /// [S, 2 + classes] float64: count, sum of p log p, sum of p. The state itself, as Moments::sums.
  at::Tensor sums() { return sums_; }

  /// Once every position has been added; otherwise it throws std::logic_error.
  Result result() const;

 private:
  std::int64_t samples_;
  std::int64_t splits_;
  at::Tensor sums_;
};

}  // namespace ganymede
