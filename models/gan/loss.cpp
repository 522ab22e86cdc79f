#include "models/gan/loss.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "core/error.h"
#include "models/gan/losses/began.h"
#include "models/gan/losses/boundary_seeking.h"
#include "models/gan/losses/ebgan.h"
#include "models/gan/losses/hinge.h"
#include "models/gan/losses/logistic.h"
#include "models/gan/losses/lsgan.h"
#include "models/gan/losses/minimax.h"
#include "models/gan/losses/relativistic.h"
#include "models/gan/losses/relativistic_average.h"
#include "models/gan/losses/wasserstein.h"

namespace ganymede {

at::Tensor GanLogits::means() const {
  return all_reduce_sum(at::stack({real.sum(), fake.sum()}), communicator) /
         static_cast<double>(layout.total);
}

namespace {

struct Entry {
  const char* name;
  std::unique_ptr<GanLoss> (*make)();
};

// One line a loss, each in models/gan/losses/<name>.h.
constexpr Entry table[] = {
    {"began", make_began},
    {"boundary_seeking", make_boundary_seeking},
    {"ebgan", make_ebgan},
    {"hinge", make_hinge},
    {"logistic", make_logistic},
    {"lsgan", make_lsgan},
    {"minimax", make_minimax},
    {"relativistic", make_relativistic},
    {"relativistic_average", make_relativistic_average},
    {"wasserstein", make_wasserstein},
};

}  // namespace

std::vector<std::string> gan_loss_names() {
  std::vector<std::string> names;
  for (const Entry& entry : table) names.emplace_back(entry.name);
  return names;
}

std::unique_ptr<GanLoss> make_gan_loss(const std::string& name) {
  for (const Entry& entry : table)
    if (name == entry.name) return entry.make();
  fail(ExitCode::options, "gan.loss = '{}' is not known: give one of {}", name,
       fmt::join(gan_loss_names(), ", "));
}

}  // namespace ganymede
