#include "models/features/weights_digest.h"

#include "core/hash.h"

namespace ganymede {

std::string weights_digest(NamedTensors weights) {
  std::ranges::sort(weights, {}, &NamedTensors::value_type::first);
  Xxh3 hash;
  for (const auto& [name, tensor] : weights) {
    const at::Tensor plain = tensor.detach().to(at::kCPU, at::kFloat).contiguous();
    const std::string heading = fmt::format("{} [{}]\n", name, fmt::join(plain.sizes().vec(), ","));
    hash.update(std::as_bytes(std::span(heading)));
    hash.update({static_cast<const std::byte*>(plain.const_data_ptr()), plain.nbytes()});
  }
  return hex(hash.digest());
}

}  // namespace ganymede
