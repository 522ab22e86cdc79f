#include "models/gan/network.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "core/error.h"
#include "models/gan/networks/autoencoding.h"
#include "models/gan/networks/biggan.h"
#include "models/gan/networks/biggan_deep.h"
#include "models/gan/networks/dcgan.h"
#include "models/gan/networks/fully_connected.h"
#include "models/gan/networks/progressive.h"
#include "models/gan/networks/sngan.h"
#include "models/gan/networks/stylegan.h"
#include "models/gan/networks/stylegan2.h"
#include "models/layers/batch_norm.h"
#include "models/layers/weighted.h"

namespace ganymede {

void Network::begin_phase(bool update_buffers) {
  ganymede::begin_phase(*this, update_buffers);
}

std::vector<Exchange> Network::exchanges(const GroupLayout& layout, int /*ranks*/) const {
  std::vector<Exchange> all;
  for (const auto& module : modules())
    if (const auto* norm = dynamic_cast<const BatchNorm*>(module.get()))
      all.push_back({.numbers = layout.groups() * 2 * norm->channels(), .made_again = true});
  return all;
}

at::Tensor Network::standing_sums() const {
  std::vector<at::Tensor> sums;
  for (const auto& module : modules())
    if (auto* norm = dynamic_cast<BatchNorm*>(module.get())) sums.push_back(norm->standing_sums().flatten());
  return sums.empty() ? at::empty({0}) : at::cat(sums);
}

void Network::adopt_standing(const at::Tensor& sums, double passes) {
  std::int64_t offset = 0;
  for (const auto& module : modules())
    if (auto* norm = dynamic_cast<BatchNorm*>(module.get())) {
      const std::int64_t count = norm->standing_sums().numel();
      norm->adopt_standing(sums.narrow(0, offset, count).view({2, -1}), passes);
      offset += count;
    }
}

namespace {

struct Entry {
  const char* name;
  std::unique_ptr<GanNetworks> (*make)();
};

// One line a pair of networks, each in models/gan/networks/<name>.h.
constexpr Entry table[] = {
    {"autoencoding", make_autoencoding},
    {"biggan", make_biggan},
    {"biggan_deep", make_biggan_deep},
    {"dcgan", make_dcgan},
    {"fully_connected", make_fully_connected},
    {"progressive", make_progressive},
    {"sngan", make_sngan},
    {"stylegan", make_stylegan},
    {"stylegan2", make_stylegan2},
};

}  // namespace

std::vector<std::string> gan_network_names() {
  std::vector<std::string> names;
  for (const Entry& entry : table) names.emplace_back(entry.name);
  return names;
}

std::unique_ptr<GanNetworks> make_gan_networks(const std::string& name) {
  for (const Entry& entry : table)
    if (name == entry.name) return entry.make();
  fail(ExitCode::options, "gan.network = '{}' is not known: give one of {}", name,
       fmt::join(gan_network_names(), ", "));
}

}  // namespace ganymede
