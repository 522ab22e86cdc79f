#include "evaluation/feature_pass.h"

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
    for (Moments& moments : moments_) ranks.all_reduce(moments.sums())->wait();
    return std::move(moments_);
  }

 private:
  void prepare(std::int64_t dimension) {
    while (std::ssize(moments_) < blocks_) moments_.emplace_back(dimension);
  }

  std::int64_t images_, blocks_;
  KeyedPermutation shuffled_;
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

/// Which of a batch's rows are at multiples of the stride, and where they go.
std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>> every(
    const std::vector<std::int64_t>& positions, std::int64_t stride, std::int64_t first) {
  std::vector<std::int64_t> rows, places;
  for (std::size_t i = 0; i < positions.size(); ++i) {
    if (positions[i] % stride != 0) continue;
    rows.push_back(static_cast<std::int64_t>(i));
    places.push_back(positions[i] / stride - first);
  }
  return {rows, places};
}

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
          .images = images || other.images};
}

ImageFeatures feature_pass(Communicator& ranks, ImageSet& set, FeatureExtractor& extractor,
                           const PassRequest& request, const PassOptions& options) {
  ImageFeatures result;
  result.indices = select_images(set.size(), options.count > 0 ? options.count : set.size(), options.seed,
                                 set.description().name);
  result.unit = set.granularity();
  result.share = share_of_positions(result.count(), result.unit, ranks.rank(), ranks.size());
  if (set.labels().defined())
    result.labels = set.labels().index_select(0, at::tensor(result.indices, at::kLong));

  const FeatureRequest wanted = request.features();
  const std::int64_t count = result.count(), own = result.share.count;
  const bool extracts = wanted.pool || wanted.spatial || wanted.logits;
  Ledger ledger;
  MomentBlocks pool(count, options.blocks, options.seed), spatial(count, 1, options.seed);
  Rows rows(request.rows, own), logits(request.logits, own);
  result.stride = (count + options.most_images - 1) / options.most_images;
  const Share kept = share_of_every(result.share, result.stride);
  Rows images(request.images, kept.count);
  const auto begin = result.indices.begin() + result.share.first;
  const std::vector<std::int64_t> own_indices(begin, begin + own);
  std::int64_t done = 0;
  set.read(own_indices, options.batch, [&](const std::vector<std::int64_t>& places, const at::Tensor& batch) {
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
      if (request.images) {
        const auto [rows_of_batch, places_of_kept] = every(positions, result.stride, kept.first);
        images.put(places_of_kept, batch.index_select(0, at::tensor(rows_of_batch, at::kLong)));
      }
    }
    done += batch.size(0);
    if (options.advance) options.advance(done, own);
  });

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
  result.images = std::move(images).take(ranks, at::kByte);
  return result;
}

}  // namespace ganymede
