#include "core/metrics/moments.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/error.h"

namespace ganymede {
namespace {

constexpr std::int64_t rows_a_flush = 512;  // rows a product: 8 MB at D = 2,048
constexpr std::int64_t panel = 256;         // columns of the outer product at a time

/// The lower triangle of outer += rows' rows. BLAS has a call for it, ATen does not: panels waste little.
void add_outer(at::Tensor outer, const at::Tensor& rows) {
  const std::int64_t dimension = rows.size(1);
  for (std::int64_t begin = 0; begin < dimension; begin += panel) {
    const std::int64_t width = std::min(panel, dimension - begin), below = dimension - begin;
    outer.narrow(0, begin, below)
        .narrow(1, begin, width)
        .addmm_(rows.narrow(1, begin, below).t(), rows.narrow(1, begin, width));
  }
}

bool all_finite(const at::Tensor& features) {
  const std::vector<at::Tensor> parts = features.split(4096);  // whose masks and copies are small
  return std::all_of(parts.begin(), parts.end(),
                     [](const at::Tensor& part) { return at::isfinite(part).all().item<bool>(); });
}

std::int64_t first_bad_row(const at::Tensor& features) {
  return at::isfinite(features).all(1).logical_not().to(at::kByte).argmax().item<std::int64_t>();
}

}  // namespace

void check_features(const at::Tensor& features, std::int64_t dimension) {
  if (features.dim() != 2 || !features.is_floating_point() ||
      (dimension > 0 && features.size(1) != dimension))
    fail(ExitCode::checkpoint,
         "features: {} of {} where [count, {}] of floating type is wanted: other weights?",
         fmt::join(features.sizes(), " x "), c10::toString(features.scalar_type()),
         dimension > 0 ? std::to_string(dimension) : "dimension");
  if (!all_finite(features))
    fail(
        ExitCode::checkpoint,
        "features: row {} of {} is not finite: the extractor's weights are damaged, or its precision too low",
        first_bad_row(features), features.size(0));
}

Moments::Moments(std::int64_t dimension)
    : Moments(dimension, at::zeros({state_size(dimension)}, at::kDouble)) {}

Moments::Moments(std::int64_t dimension, at::Tensor state)
    : dimension_(dimension),
      state_(std::move(state)),
      pending_(at::empty({rows_a_flush, dimension}, at::kDouble)) {}

void Moments::add(const at::Tensor& features) {
  check_features(features, dimension_);
  for (std::int64_t done = 0; done < features.size(0);) {
    const std::int64_t rows = std::min(rows_a_flush - waiting_, features.size(0) - done);
    pending_.narrow(0, waiting_, rows).copy_(features.narrow(0, done, rows));
    waiting_ += rows;
    done += rows;
    if (waiting_ == rows_a_flush) flush();
  }
}

void Moments::merge(Moments& other) {
  TORCH_CHECK(dimension_ == other.dimension_, "Moments: dimensions ", dimension_, " and ", other.dimension_);
  state_.add_(other.sums());
}

at::Tensor Moments::sums() {
  flush();
  return state_;
}

std::int64_t Moments::count() const {
  return static_cast<std::int64_t>(state_[0].item<double>()) + waiting_;
}

at::Tensor Moments::mean() {
  flush();
  if (count() < 1) fail(ExitCode::options, "no samples: a mean needs one");
  return sum() / state_[0];
}

at::Tensor Moments::covariance() {
  flush();
  if (count() < 2) fail(ExitCode::options, "{} samples: a covariance needs at least two", count());
  const at::Tensor mu = mean(), lower = outer().tril().addr_(sum(), mu, 1, -1).tril_();
  return lower.add(lower.tril(-1).t()).div_(state_[0] - 1);
}

void Moments::flush() {
  if (waiting_ == 0) return;
  const at::Tensor rows = pending_.narrow(0, 0, waiting_);
  state_[0] += waiting_;
  sum() += rows.sum(0);
  add_outer(outer(), rows);
  waiting_ = 0;
}

at::Tensor Moments::sum() const {
  return state_.narrow(0, 1, dimension_);
}

at::Tensor Moments::outer() const {
  return state_.narrow(0, 1 + dimension_, dimension_ * dimension_).view({dimension_, dimension_});
}

}  // namespace ganymede
