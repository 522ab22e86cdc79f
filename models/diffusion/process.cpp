#include "models/diffusion/process.h"

#include <fmt/ranges.h>

#include <stdexcept>

#include "core/device.h"
#include "core/error.h"
#include "models/diffusion/processes/ddpm.h"
#include "models/diffusion/processes/edm.h"
#include "models/diffusion/processes/flow.h"

namespace ganymede {
namespace {

struct Entry {
  const char* name;
  std::unique_ptr<DiffusionProcess> (*make)();
};

// One line a process, each in models/diffusion/processes/<name>.h.
constexpr Entry table[] = {
    {"ddpm", make_ddpm},
    {"edm", make_edm},
    {"flow", make_flow},
};

}  // namespace

at::Tensor DiffusionProcess::bound(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                   const at::Tensor&) const {
  throw std::logic_error("bound: this process is no chain");
}

at::Tensor DiffusionProcess::prior_bound(const at::Tensor&) const {
  throw std::logic_error("prior_bound: this process is no chain");
}

std::vector<std::string> diffusion_process_names() {
  std::vector<std::string> names;
  for (const Entry& entry : table) names.emplace_back(entry.name);
  return names;
}

std::unique_ptr<DiffusionProcess> make_diffusion_process(const std::string& name) {
  for (const Entry& entry : table)
    if (name == entry.name) return entry.make();
  fail(ExitCode::options, "diffusion.process = '{}' is not known: give one of {}", name,
       fmt::join(diffusion_process_names(), ", "));
}

at::Tensor per_image(const at::Tensor& figures, const at::Tensor& like) {
  return to_device(figures.to(like.scalar_type()), like.device()).view({-1, 1, 1, 1});
}

}  // namespace ganymede
