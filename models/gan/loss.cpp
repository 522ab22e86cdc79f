#include "models/gan/loss.h"

#include <fmt/ranges.h>

#include "core/error.h"
#include "models/gan/losses/hinge.h"
#include "models/gan/losses/logistic.h"
#include "models/gan/losses/wasserstein.h"

namespace ganymede {
namespace {

// One line a loss, each in models/gan/losses/<name>.h.
constexpr GanLoss table[] = {
    hinge,
    logistic,
    wasserstein,
};

}  // namespace

std::vector<std::string> gan_loss_names() {
  std::vector<std::string> names;
  for (const GanLoss& loss : table) names.emplace_back(loss.name);
  return names;
}

const GanLoss& gan_loss(const std::string& name) {
  for (const GanLoss& loss : table)
    if (name == loss.name) return loss;
  fail(ExitCode::options, "gan.loss = '{}' is not known: give one of {}", name,
       fmt::join(gan_loss_names(), ", "));
}

}  // namespace ganymede
