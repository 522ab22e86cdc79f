#include "core/device.h"

namespace ganymede {

at::Tensor to_device(const at::Tensor& host, at::Device device) {
  if (device == host.device()) return host;
  // A copy from pageable memory would wait for all that the stream has yet to do.
  return host.pin_memory().to(device, host.scalar_type(), /*non_blocking=*/true);
}

}  // namespace ganymede
