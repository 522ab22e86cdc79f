#pragma once

namespace ganymede::cuda {

/// The types that kernels tell apart: their sources are compiled without torch's headers, which nvcc takes a
/// minute for.
enum class Element { float64, float32, bfloat16, float16 };

}  // namespace ganymede::cuda
