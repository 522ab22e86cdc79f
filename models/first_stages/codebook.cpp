#include "models/first_stages/codebook.h"

#include <ATen/ATen.h>

#include "core/philox.h"

namespace ganymede {

Codebook::Codebook(std::int64_t codes, std::int64_t width) {
  embedding_ =
      register_module("embedding", std::make_shared<Embedding>(codes, width, WeightOptions{.bias = false}));
}

at::Tensor Codebook::nearest(const at::Tensor& z) const {
  const at::NoGradGuard no_grad;
  const at::Tensor& codes = weight();
  const at::Tensor places = z.permute({0, 2, 3, 1}).reshape({-1, z.size(1)}).to(codes.scalar_type());
  std::vector<at::Tensor> found;
  // Never more than some millions of distances at a time.
  const std::int64_t run = std::max<std::int64_t>((std::int64_t{1} << 24) / codes.size(0), 1);
  for (const at::Tensor& part : places.split(run))
    // |a - b|^2 but for |a|^2, which is the same for all codes.
    found.push_back((codes.square().sum(1) - 2 * part.matmul(codes.t())).argmin(1));
  return at::cat(found).view({z.size(0), z.size(2), z.size(3)});
}

at::Tensor Codebook::vectors(const at::Tensor& indices) {
  return embedding_->forward(indices.flatten())
      .view({indices.size(0), indices.size(1), indices.size(2), -1})
      .permute({0, 3, 1, 2});
}

void Codebook::initialise(std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  const double bound = 1.0 / static_cast<double>(codes());
  const RandomStream random(
      {.seed = seed, .phase = "initialise", .layer = "quantize.embedding", .stream = "weight"});
  weight().copy_((random.uniform(0, codes(), weight().size(1), at::kDouble) * 2 - 1) * bound);
}

}  // namespace ganymede
