#pragma once

#include "core/device.h"
#include "core/philox.h"

namespace ganymede {

/// Random numbers for this rank's images of a micro-batch, a row an image: row i depends on the key, the
/// stream and the image's position in the global batch alone.
struct ImageDraws {
  RandomKey key;
  std::int64_t first = 0;  ///< position of this rank's first image
  std::int64_t count = 0;
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;

  /// [count, width], of core/philox.h.
  at::Tensor uniform(std::string_view stream, std::int64_t width) const {
    return to_device(of(stream).uniform(first, count, width, dtype), device);
  }
  at::Tensor normal(std::string_view stream, std::int64_t width) const {
    return to_device(of(stream).normal(first, count, width, dtype), device);
  }
  at::Tensor integers(std::string_view stream, std::int64_t bound) const {
    return to_device(of(stream).integers(first, count, bound), device);
  }

 private:
  RandomStream of(std::string_view stream) const {
    RandomKey own = key;
    own.stream = stream;
    return RandomStream(own);
  }
};

}  // namespace ganymede
