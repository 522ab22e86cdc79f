#include "models/diffusion/denoiser.h"

#include <fmt/ranges.h>

#include "core/error.h"
#include "models/diffusion/networks/ddpmpp.h"
#include "models/diffusion/networks/dit.h"
#include "models/diffusion/networks/unet.h"

namespace ganymede {
namespace {

struct Entry {
  const char* name;
  std::unique_ptr<DenoiserNetwork> (*make)();
};

// One line a network, each in models/diffusion/networks/<name>.h.
constexpr Entry table[] = {
    {"ddpmpp", make_ddpmpp},
    {"dit", make_dit},
    {"unet", make_unet},
};

}  // namespace

std::vector<std::string> denoiser_names() {
  std::vector<std::string> names;
  for (const Entry& entry : table) names.emplace_back(entry.name);
  return names;
}

std::unique_ptr<DenoiserNetwork> make_denoiser_network(const std::string& name) {
  for (const Entry& entry : table)
    if (name == entry.name) return entry.make();
  fail(ExitCode::options, "diffusion.network = '{}' is not known: give one of {}", name,
       fmt::join(denoiser_names(), ", "));
}

}  // namespace ganymede
