#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/named_tensors.h"
#include "core/tensor_type.h"
#include "core/weights_file.h"

namespace ganymede {

/// Weights as a file holds them, whatever its format.
struct WeightsSource {
  std::string where;  ///< for messages
  std::map<std::string, TensorType> types;
  std::function<at::Tensor(const std::string& name)> read;
};

/// The source that reads from `file`, which it keeps.
WeightsSource source_of(WeightsFile file);

/// What a layout wants of a file: name and shape of one tensor.
struct ExpectedTensor {
  std::string name;
  std::vector<std::int64_t> shape;
};

/// The expected tensors that are not there, or are of another shape or not of a floating type: a line each.
std::vector<std::string> problems_of(const WeightsSource& source,
                                     const std::vector<ExpectedTensor>& expected);

/// Reads one tensor as float32. Throws Error(checkpoint) if a value in it is not finite.
at::Tensor read_weight(const WeightsSource& source, const std::string& name);

}  // namespace ganymede
