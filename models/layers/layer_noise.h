#pragma once

#include "models/layers/forward_context.h"

namespace ganymede {

/// What a network adds to the maps [count, C, R, R] of a layer (Karras et al., arXiv 1812.04948, section 2): one normal
/// number a position of each image [count, 1, R, R], the same for all its channels; or `kept` [R, R], the layer's own,
/// where the context draws none. Of kept's type, on its device.
at::Tensor layer_noise(const std::string& layer, const at::Tensor& kept, std::int64_t count,
                       const ForwardContext& context);

}  // namespace ganymede
