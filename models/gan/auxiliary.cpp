#include "models/gan/auxiliary.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "core/error.h"
#include "models/gan/auxiliaries/acgan.h"
#include "models/gan/auxiliaries/extra_class.h"
#include "models/gan/auxiliaries/infogan.h"

namespace ganymede {

at::Tensor class_entropy(const at::Tensor& outputs, const at::Tensor& labels) {
  return -at::log_softmax(outputs, 1).gather(1, labels.unsqueeze(1)).squeeze(1);
}

at::Tensor class_hits(const at::Tensor& outputs, const at::Tensor& labels) {
  return outputs.argmax(1).eq(labels).to(at::kDouble);
}

void check_class_head(const std::string& name, const GanNetworks& networks) {
  if (networks.images().classes < 2)
    fail(ExitCode::options,
         "gan.auxiliary = {} learns classes, and the networks know of one at most: set the network's classes "
         "to those of a dataset that has labels, or gan.auxiliary = none",
         name);
  if (networks.conditioning().discriminator)
    fail(ExitCode::options,
         "gan.auxiliary = {}: the discriminator is told the class that it should find out: set the network's "
         "conditioning to generator, "
         "or choose a network that has it (dcgan, fully_connected, progressive, sngan, stylegan)",
         name);
}

namespace {

struct Entry {
  const char* name;
  std::unique_ptr<GanAuxiliary> (*make)();
};

// One line an auxiliary task, each in models/gan/auxiliaries/<name>.h.
constexpr Entry table[] = {
    {"acgan", make_acgan},
    {"extra_class", make_extra_class},
    {"infogan", make_infogan},
};

}  // namespace

std::vector<std::string> gan_auxiliary_names() {
  std::vector<std::string> names{"none"};
  for (const Entry& entry : table) names.emplace_back(entry.name);
  return names;
}

std::unique_ptr<GanAuxiliary> make_gan_auxiliary(const std::string& name) {
  if (name == "none") return nullptr;
  for (const Entry& entry : table)
    if (name == entry.name) return entry.make();
  fail(ExitCode::options, "gan.auxiliary = '{}' is not known: give one of {}", name,
       fmt::join(gan_auxiliary_names(), ", "));
}

}  // namespace ganymede
