#include "models/gan/latent_codes.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <numeric>

namespace ganymede {

std::int64_t LatentCodes::width() const {
  return std::reduce(categories.begin(), categories.end(), continuous);
}

at::Tensor LatentCodes::drawn(const at::Tensor& z, const ImageDraws& draws) const {
  if (width() == 0) return z;
  std::vector<at::Tensor> parts{z.narrow(1, 0, z.size(1) - width())};
  for (std::size_t i = 0; i < categories.size(); ++i)
    parts.push_back(
        at::one_hot(draws.integers(fmt::format("code {}", i), categories[i]), categories[i]).to(z.options()));
  if (continuous > 0) parts.push_back(draws.uniform("codes", continuous).to(z.options()) * 2 - 1);
  return at::cat(parts, 1);
}

at::Tensor LatentCodes::chosen(const at::Tensor& z, std::int64_t code, const at::Tensor& values) const {
  const auto categorical = static_cast<std::int64_t>(categories.size());
  TORCH_CHECK(code >= 0 && code < categorical + continuous, "code ", code, " of ", categorical + continuous);
  std::int64_t place = z.size(1) - width();
  at::Tensor changed = z.clone();
  if (code >= categorical) {
    changed.select(1, z.size(1) - continuous + code - categorical).copy_(values);
    return changed;
  }
  for (std::int64_t i = 0; i < code; ++i) place += categories[static_cast<std::size_t>(i)];
  const std::int64_t count = categories[static_cast<std::size_t>(code)];
  changed.narrow(1, place, count).copy_(at::one_hot(values.to(at::kLong), count));
  return changed;
}

}  // namespace ganymede
