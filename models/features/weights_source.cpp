#include "models/features/weights_source.h"

#include <ATen/ATen.h>

#include "core/error.h"

namespace ganymede {

WeightsSource source_of(WeightsFile file) {
  const auto shared = std::make_shared<const WeightsFile>(std::move(file));
  return {shared->path().string(), shared->tensors(),
          [shared](const std::string& name) { return shared->read(name); }};
}

std::vector<std::string> problems_of(const WeightsSource& source,
                                     const std::vector<ExpectedTensor>& expected) {
  std::vector<std::string> problems;
  for (const auto& [name, shape] : expected) {
    const auto found = source.types.find(name);
    if (found == source.types.end())
      problems.push_back(fmt::format("{} is missing", name));
    else if (found->second.shape != shape)
      problems.push_back(fmt::format("{} is [{}], expected [{}]", name, fmt::join(found->second.shape, ","),
                                     fmt::join(shape, ",")));
    else if (!at::isFloatingType(found->second.dtype))
      problems.push_back(fmt::format("{} is {}, expected floating point", name, found->second.text()));
  }
  return problems;
}

at::Tensor read_weight(const WeightsSource& source, const std::string& name) {
  const at::Tensor weight = source.read(name).to(at::kFloat);
  if (!at::isfinite(weight).all().item<bool>())
    fail(ExitCode::checkpoint, "{}: {} holds values that are not finite: the file is damaged", source.where,
         name);
  return weight;
}

}  // namespace ganymede
