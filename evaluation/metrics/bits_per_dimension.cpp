#include "evaluation/metrics/bits_per_dimension.h"

#include <ATen/ATen.h>

#include <cmath>

#include "evaluation/selection.h"

namespace ganymede {
namespace {

/// Images `indices` of the set, in order, uint8 [n, C, H, W].
at::Tensor read_in_order(ImageSet& set, const std::vector<std::int64_t>& indices) {
  const ImageSetDescription& shape = set.description();
  at::Tensor images = at::empty({std::ssize(indices), shape.channels, shape.height, shape.width}, at::kByte);
  set.read(indices, std::ssize(indices),
           [&](const std::vector<std::int64_t>& places, const at::Tensor& part) {
             images.index_copy_(0, at::tensor(places, at::kLong), part);
           });
  return images;
}

std::vector<Score> bits_per_dimension(MetricInput& input) {
  ImageSet& reference = *input.reference_set;
  const std::int64_t wanted = input.reference_count > 0 ? input.reference_count : reference.size();
  const auto indices =
      select_images(reference.size(), wanted, input.options.seed, reference.description().name);
  const bool labelled = input.set.labels().defined();
  at::Tensor bits = at::zeros({wanted}, at::kDouble);
  const Share share = share_of(wanted, input.ranks.rank(), input.ranks.size());
  for (std::int64_t done = 0; done < share.count; done += input.batch) {
    input.tell("likelihood");
    const std::int64_t first = share.first + done, count = std::min(input.batch, share.count - done);
    const std::vector<std::int64_t> part(indices.begin() + first, indices.begin() + first + count);
    const at::Tensor labels = labelled ? selected_labels(reference, part) : at::zeros({count}, at::kLong);
    bits.narrow(0, first, count)
        .copy_(input.set.bits_per_dimension(first, read_in_order(reference, part), labels));
  }
  input.ranks.all_reduce(bits)->wait();
  const double error = wanted > 1 ? bits.std().item<double>() / std::sqrt(static_cast<double>(wanted)) : 0;
  return {{"bpd",
           bits.mean().item<double>(),
           error,
           {{"error", "standard error over the images"}, {"images", wanted}, {"bound", "variational"}}}};
}

}  // namespace

Metric bits_per_dimension_metric() {
  return {.name = "bpd",
          .help = "bits a dimension of the reference's images, by a run of diffusion.process = ddpm",
          .needs = {.likelihood = true},
          .check = {},
          .compute = bits_per_dimension};
}

}  // namespace ganymede
