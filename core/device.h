#pragma once

#include <ATen/core/Tensor.h>

namespace ganymede {

/// A host tensor on `device`, in order with what the device's current stream does next; the host does not
/// wait: the copy goes through pinned memory, which lives until it is done. On the host's own device the
/// tensor itself.
at::Tensor to_device(const at::Tensor& host, at::Device device);

}  // namespace ganymede
