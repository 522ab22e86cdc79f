#include <ATen/ATen.h>

#include "core/philox.h"
#include "launch/pictures/cells.h"
#include "launch/pictures/kinds.h"

namespace ganymede {
namespace {

constexpr std::int64_t side = 3, variants = side * side, centre = variants / 2;

/// [9, D]: the sum with noise uniform in +-spread, but for the one in the centre.
at::Tensor variants_of(const at::Tensor& sum, const PictureJob& job) {
  const RandomStream random({.seed = job.drawing.seed, .phase = "arithmetic", .stream = "noise"});
  at::Tensor noise = (random.uniform(0, variants, sum.numel(), at::kDouble) * 2 - 1) * job.options.spread;
  noise[centre].zero_();
  return sum.unsqueeze(0) + noise;
}

}  // namespace

void write_arithmetic(const PictureJob& job) {
  LatentImages& latents = job.latents();
  const std::vector<LatentTerm>& terms = job.options.terms;
  const auto term_count = std::ssize(terms);
  std::size_t longest = 0;
  for (const LatentTerm& term : terms) longest = std::max(longest, term.images.size());
  const auto means_row = static_cast<std::int64_t>(longest);
  // The terms, a blank column, the sum.
  const std::int64_t rows = std::max(means_row + 1, side), columns = term_count + 1 + side;
  check_sheet(job, rows, columns);

  std::vector<at::Tensor> z, labels, means;
  std::vector<std::int64_t> places;  // of the cells on the sheet
  for (std::int64_t t = 0; t < term_count; ++t) {
    const std::vector<std::int64_t>& images = terms[static_cast<std::size_t>(t)].images;
    const at::Tensor own = latents_of_images(latents, images), kinds = labels_of_images(job.drawing, images);
    means.push_back(own.mean(0, /*keepdim=*/true));
    z.insert(z.end(), {own, means.back()});
    labels.insert(labels.end(), {kinds, kinds.narrow(0, 0, 1)});
    for (std::int64_t i = 0; i < std::ssize(images); ++i) places.push_back(i * columns + t);
    places.push_back(means_row * columns + t);
  }
  z.push_back(variants_of(sum_of_terms(terms, at::cat(means)), job));
  labels.push_back(labels.front().narrow(0, 0, 1).expand({variants}));
  for (std::int64_t v = 0; v < variants; ++v)
    places.push_back(v / side * columns + term_count + 1 + v % side);

  const at::Tensor all = at::cat(z), kinds = at::cat(labels);
  const at::Tensor drawn = drawn_cells(job, all.size(0), [&](std::int64_t first, std::int64_t count) {
    return latents.images_of(all.narrow(0, first, count), kinds.narrow(0, first, count));
  });
  at::Tensor cells;
  if (job.process.is_root())
    cells = blank_cells(job, rows * columns).index_copy_(0, at::tensor(places, at::kLong), drawn);
  write_sheet(job, cells, columns);
}

}  // namespace ganymede
