#include "evaluation/nearest_images.h"

#include <ATen/ATen.h>

#include <limits>
#include <numeric>

#include "core/metrics/neighbours.h"
#include "evaluation/selection.h"

namespace ganymede {
namespace {

/// The k nearest of every rank's k, the same on all.
NearestImages merged(Communicator& ranks, const at::Tensor& squared, const at::Tensor& indices) {
  const std::int64_t count = squared.size(0), k = squared.size(1), size = ranks.size();
  at::Tensor all_squared = at::empty({size, count, k}, at::kDouble);
  at::Tensor all_indices = at::empty({size, count, k}, at::kLong);
  ranks.all_gather(all_squared, squared.contiguous())->wait();
  ranks.all_gather(all_indices, indices.contiguous())->wait();
  const auto of_query = [&](const at::Tensor& all) {
    return all.permute({1, 0, 2}).reshape({count, size * k});
  };
  const at::Tensor by_distance = of_query(all_squared), by_index = of_query(all_indices);
  // Ranks follow one another in the set, and each one's list has lower indices first where distances are equal: so
  // does a stable sort.
  const at::Tensor order =
      at::argsort(by_distance, /*stable=*/true, /*dim=*/1, /*descending=*/false).narrow(1, 0, k);
  return {by_index.gather(1, order), by_distance.gather(1, order).sqrt()};
}

}  // namespace

at::Tensor pixels_as_features(const at::Tensor& images) {
  return images.flatten(1).to(at::kFloat);
}

NearestImages nearest_images(Communicator& ranks, ImageSet& set, const at::Tensor& queries, std::int64_t k,
                             std::int64_t batch, const ComparedFeatures& features,
                             const std::function<void(std::int64_t done, std::int64_t total)>& advance) {
  TORCH_CHECK(k <= set.size(), "more neighbours than images");
  const std::int64_t count = queries.size(0);
  const Share own = share_of_positions(set.size(), batch, ranks.rank(), ranks.size());
  at::Tensor squared = at::full({count, k}, std::numeric_limits<double>::infinity(), at::kDouble);
  at::Tensor nearest = at::full({count, k}, std::numeric_limits<std::int64_t>::max(), at::kLong);
  if (const std::int64_t found = std::min(k, own.count); found > 0) {
    NearestNeighbours search(queries, at::arange(count, at::kLong), found, SelfMatch::keep);
    std::vector<std::int64_t> indices(static_cast<std::size_t>(own.count));
    std::iota(indices.begin(), indices.end(), own.first);
    std::int64_t done = 0;
    set.read(indices, batch, [&](const std::vector<std::int64_t>& places, const at::Tensor& images) {
      search.add(features(images), at::tensor(places, at::kLong) + own.first);
      done += images.size(0);
      if (advance) advance(done, own.count);
    });
    squared.narrow(1, 0, found).copy_(search.squared_distances());
    nearest.narrow(1, 0, found).copy_(search.indices());
  }
  return merged(ranks, squared, nearest);
}

at::Tensor read_images(ImageSet& set, const at::Tensor& indices) {
  const auto [ascending, place_of] = at::_unique(indices, /*sorted=*/true, /*return_inverse=*/true);
  const at::Tensor listed = ascending.contiguous();
  const std::int64_t* first = listed.const_data_ptr<std::int64_t>();
  const ImageSetDescription& shape = set.description();
  at::Tensor images = at::empty({listed.numel(), shape.channels, shape.height, shape.width}, at::kByte);
  set.read({first, first + listed.numel()}, 64,
           [&](const std::vector<std::int64_t>& places, const at::Tensor& part) {
             images.index_copy_(0, at::tensor(places, at::kLong), part);
           });
  return images.index_select(0, place_of.flatten());
}

}  // namespace ganymede
