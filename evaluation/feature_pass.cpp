#include "evaluation/feature_pass.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <optional>
#include <span>

#include "datasets/keyed_permutation.h"
#include "evaluation/ledger.h"
#include "evaluation/selection.h"
#include "evaluation/shared_error.h"

namespace ganymede {
namespace {

/// The moments are made with the first batch, which tells D; a rank without images learns it from the others.
class MomentBlocks {
 public:
  MomentBlocks(std::int64_t images, std::int64_t blocks, std::uint64_t seed)
      : images_(images), blocks_(blocks), shuffled_(images, seed) {}

  void add(const at::Tensor& features, const std::vector<std::int64_t>& positions) {
    prepare(features.size(1));
    if (blocks_ == 1) return moments_.front().add(features);
    std::vector<std::vector<std::int64_t>> rows(moments_.size());
    for (std::size_t i = 0; i < positions.size(); ++i)
      rows[static_cast<std::size_t>(shuffled_(positions[i]) * blocks_ / images_)].push_back(
          static_cast<std::int64_t>(i));
    for (std::size_t b = 0; b < rows.size(); ++b)
      if (!rows[b].empty()) moments_[b].add(features.index_select(0, at::tensor(rows[b], at::kLong)));
  }

  std::vector<Moments> merge(Communicator& ranks) && {
    prepare(ranks.agree(moments_.empty() ? 0 : moments_.front().dimension()));
    for (Moments& moments : moments_) moments.sums();  // nothing waits any more
    ranks.all_reduce(states_)->wait();
    return std::move(moments_);
  }

 private:
  void prepare(std::int64_t dimension) {
    if (!moments_.empty()) return;
    states_ = at::zeros({blocks_, Moments::state_size(dimension)}, at::kDouble);
    for (std::int64_t b = 0; b < blocks_; ++b) moments_.emplace_back(dimension, states_[b]);
  }

  std::int64_t images_, blocks_;
  KeyedPermutation shuffled_;
  at::Tensor states_;  ///< of all blocks: one tensor, so that one all-reduce merges them
  std::vector<Moments> moments_;
};

/// Rows that come in any order.
class Rows {
 public:
  Rows(bool wanted, std::int64_t count) : wanted_(wanted), count_(count) {}

  void put(const std::vector<std::int64_t>& places, const at::Tensor& rows) {
    if (!wanted_ || places.empty()) return;
    if (!all_.defined()) {
      std::vector<std::int64_t> shape = rows.sizes().vec();
      shape[0] = count_;
      all_ = at::empty(shape, rows.options());
    }
    all_.index_copy_(0, at::tensor(places, at::kLong), rows);
  }

  /// A rank without images gets none of the others' shape. Collective.
  at::Tensor take(Communicator& ranks, at::ScalarType type) && {
    if (!wanted_) return {};
    at::Tensor shape = at::zeros({4}, at::kLong);
    for (std::int64_t d = 1; all_.defined() && d < all_.dim(); ++d) shape[d] = all_.size(d);
    ranks.all_reduce(shape, Reduction::max)->wait();
    if (all_.defined()) return all_;
    std::vector<std::int64_t> sizes{0};
    for (std::int64_t d = 1; d < 4; ++d)
      if (const auto size = shape[d].item<std::int64_t>(); size > 0) sizes.push_back(size);
    return at::empty(sizes, type);
  }

 private:
  bool wanted_;
  std::int64_t count_;
  at::Tensor all_;
};

/// The pixels that stay of a share.
class KeptImages {
 public:
  KeptImages(const std::vector<std::int64_t>& kept, const Share& share) {
    const auto begin = std::ranges::lower_bound(kept, share.first);
    own_ = std::span(begin, std::ranges::lower_bound(kept, share.first + share.count));
    rows_.emplace(!kept.empty(), std::ssize(own_));
  }

  void put(const std::vector<std::int64_t>& positions, const at::Tensor& batch) {
    std::vector<std::int64_t> rows, places;
    for (std::size_t i = 0; i < positions.size(); ++i) {
      const auto place = std::ranges::lower_bound(own_, positions[i]);
      if (place == own_.end() || *place != positions[i]) continue;
      rows.push_back(static_cast<std::int64_t>(i));
      places.push_back(place - own_.begin());
    }
    if (!rows.empty()) rows_->put(places, batch.index_select(0, at::tensor(rows, at::kLong)));
  }

  at::Tensor take(Communicator& ranks) && { return std::move(*rows_).take(ranks, at::kByte); }

 private:
  std::span<const std::int64_t> own_;
  std::optional<Rows> rows_;
};

/// How many images' pixels stay.
std::int64_t kept_count(const ImageSetDescription& set, std::int64_t wanted, std::int64_t most_bytes) {
  const std::int64_t fitting = most_bytes / std::max<std::int64_t>(1, set.channels * set.height * set.width);
  return std::min(wanted, std::max<std::int64_t>(2, fitting));
}

/// Leaves a set that is being read.
struct Stopped {};

at::Tensor finite_rows(const Features& features) {
  at::Tensor finite;
  for (const at::Tensor& tensor : {features.pool, features.spatial, features.logits}) {
    if (!tensor.defined()) continue;
    const at::Tensor own = tensor.isfinite().flatten(1).all(1);
    finite = finite.defined() ? finite.logical_and(own) : own;
  }
  return finite;
}

}  // namespace

PassRequest PassRequest::operator|(const PassRequest& other) const {
  return {.moments = moments || other.moments,
          .spatial_moments = spatial_moments || other.spatial_moments,
          .rows = rows || other.rows,
          .logits = logits || other.logits,
          .images = std::max(images, other.images)};
}

std::vector<std::int64_t> ImageFeatures::kept_of(std::int64_t most) const {
  return select_images(count(), std::min(most, std::ssize(kept)), seed, "the pixels kept");
}

ImageFeatures feature_pass(Communicator& ranks, ImageSet& set, FeatureExtractor& extractor,
                           const PassRequest& request, const PassOptions& options) {
  ImageFeatures result;
  result.indices = select_images(set.size(), options.count > 0 ? options.count : set.size(), options.seed,
                                 set.description().name);
  result.seed = options.seed;
  result.unit = set.granularity();
  result.share = share_of_positions(result.count(), result.unit, ranks.rank(), ranks.size());
  result.labels = selected_labels(set, result.indices);

  const FeatureRequest wanted = request.features();
  const std::int64_t count = result.count(), own = result.share.count;
  const bool extracts = wanted.pool || wanted.spatial || wanted.logits;
  Ledger ledger;
  MomentBlocks pool(count, options.blocks, options.seed), spatial(count, 1, options.seed);
  Rows rows(request.rows, own), logits(request.logits, own);
  if (request.images > 0)
    result.kept = select_images(
        count, kept_count(set.description(), std::min(request.images, count), options.most_pixel_bytes),
        options.seed, set.description().name);
  KeptImages images(result.kept, result.share);
  const auto begin = result.indices.begin() + result.share.first;
  const std::vector<std::int64_t> own_indices(begin, begin + own);
  std::int64_t done = 0;
  if (options.advance) options.advance(done, own);
  const auto take = [&](const std::vector<std::int64_t>& places, const at::Tensor& batch) {
    const Features features = extracts ? extractor.extract(batch, wanted) : Features{};
    const at::Tensor finite = extracts ? finite_rows(features) : at::ones({batch.size(0)}, at::kBool);
    std::vector<std::int64_t> positions;
    for (std::size_t i = 0; i < places.size(); ++i) {
      positions.push_back(result.share.first + places[i]);
      ledger.add(own_indices[static_cast<std::size_t>(places[i])], batch[static_cast<std::int64_t>(i)],
                 finite.const_data_ptr<bool>()[i]);
    }
    // After the first features that are no numbers the pass only counts on.
    if (ledger.broken() == 0) {
      if (request.moments) pool.add(features.pool, positions);
      if (request.spatial_moments) spatial.add(features.spatial, positions);
      rows.put(places, features.pool);
      logits.put(places, features.logits);
      images.put(positions, batch);
    }
    done += batch.size(0);
    if (options.advance) options.advance(done, own);
    if (options.stop && options.stop()) throw Stopped();
  };
  bool stopped = false;
  try {
    set.read(own_indices, options.batch, take);
  } catch (const Stopped&) {
    stopped = true;
  }
  if (ranks.agree(stopped ? 1 : 0) > 0)
    throw SharedError(ExitCode::stopped, "stopped on request: the same command begins again");

  ranks.all_reduce(ledger.sums())->wait();
  TORCH_CHECK(ledger.covers(result.indices), "images were missed or seen twice");
  if (ledger.broken() > 0)
    throw SharedError(
        ExitCode::checkpoint,
        fmt::format("the features of {} of {} images of {} are not finite: the weights of {} are "
                    "damaged or of another network",
                    ledger.broken(), count, set.description().name, extractor.description().name));
  result.digest = ledger.digest();
  if (request.moments) result.blocks = std::move(pool).merge(ranks);
  if (request.spatial_moments) result.spatial = std::move(spatial).merge(ranks);
  result.pool = std::move(rows).take(ranks, at::kFloat);
  result.logits = std::move(logits).take(ranks, at::kFloat);
  result.images = std::move(images).take(ranks);
  return result;
}

}  // namespace ganymede
