#include "models/features/piecewise_extractor.h"

#include <ATen/ATen.h>

#include "core/error.h"

namespace ganymede {
namespace {

void check(const at::Tensor& images) {
  TORCH_CHECK(images.dim() == 4 && images.scalar_type() == at::kByte && images.device().is_cpu(),
              "images for features: ", images.toString(), " ", images.sizes());
  if (images.size(1) != 1 && images.size(1) != 3)
    fail(ExitCode::options, "features of images with {} channels: they are defined for 1 or 3 channels",
         images.size(1));
}

void refuse(const std::string& network, const char* what) {
  fail(ExitCode::options, "the features' network '{}' has no {}: give another --features, or other metrics",
       network, what);
}

/// Rows of results gathered in one tensor, made when the first piece tells their width.
void put(at::Tensor& rows, std::int64_t first, std::int64_t count, const at::Tensor& piece) {
  if (!rows.defined()) rows = at::empty({count, piece.size(1)}, at::kFloat);
  rows.narrow(0, first, piece.size(0)).copy_(piece);
}

}  // namespace

Features PiecewiseExtractor::extract(const at::Tensor& images, const FeatureRequest& request) {
  check(images);
  if (request.pool && !offers_.pool) refuse(description_.name, "pooled features");
  if (request.spatial && !offers_.spatial) refuse(description_.name, "spatial features");
  if (request.logits && !offers_.logits) refuse(description_.name, "class logits");
  const at::NoGradGuard no_grad;
  const std::int64_t count = images.size(0), piece = images_at_once();
  Features all;
  for (std::int64_t first = 0; first < count; first += piece) {
    const at::Tensor some = images.narrow(0, first, std::min(piece, count - first));
    const Features features = compute(some, request);
    if (request.pool) put(all.pool, first, count, features.pool);
    if (request.spatial) put(all.spatial, first, count, features.spatial);
    if (request.logits) put(all.logits, first, count, features.logits);
  }
  return all;
}

}  // namespace ganymede
