#include "models/method.h"

#include <fmt/ranges.h>

#include "core/error.h"
#include "models/diffusion/denoising.h"
#include "models/diffusion/noisy_classifier.h"
#include "models/encoders/adversarial_autoencoder.h"
#include "models/encoders/bigan.h"
#include "models/encoders/projection_networks.h"
#include "models/encoders/vae_gan.h"
#include "models/first_stages/autoencoder_method.h"
#include "models/gan/adversarial_recipe.h"
#include "models/translation/cyclegan.h"
#include "models/translation/pix2pix.h"

namespace ganymede {
namespace {

struct Entry {
  const char* name;
  std::unique_ptr<MethodRecipe> (*make)(const Settings& settings);
};

// One line a method.
constexpr Entry table[] = {
    {"adversarial", make_adversarial_recipe},
    {"adversarial_autoencoder", make_adversarial_autoencoder_recipe},
    {"autoencoder", make_autoencoder_recipe},
    {"bigan", make_bigan_recipe},
    {"cyclegan", make_cyclegan_recipe},
    {"denoising", make_denoising_recipe},
    {"noisy_classifier", make_noisy_classifier_recipe},
    {"pix2pix", make_pix2pix_recipe},
    {"vae_gan", make_vae_gan_recipe},
};

}  // namespace

std::unique_ptr<ProjectionNetworks> Method::projection(const SampleOptions& /*options*/) {
  return nullptr;
}

void add_update_costs(std::vector<CollectiveCost>& costs, const Player& player, std::int64_t updates,
                      std::int64_t own_every) {
  const auto add = [&](const char* what, std::int64_t count, std::int64_t bytes, const char* collectives) {
    const auto of_all = [&](std::int64_t one) {
      const std::int64_t sum = updates * one;
      return sum + (own_every > 0 ? sum / own_every : 0);
    };
    costs.push_back({fmt::format("{} {}", player.name(), what), of_all(count), of_all(bytes), collectives});
  };
  const std::int64_t buckets = std::ssize(player.reducer().buckets());
  const auto bytes = static_cast<std::int64_t>(player.gradient_arena().nbytes());
  if (!player.is_sharded()) return add("gradients", buckets, bytes, "all-reduces");
  add("gradients", buckets, bytes, "reduce-scatters");
  add("weights", buckets, bytes, "all-gathers");
  add("gradient norm", 1, sizeof(double), "all-reduces");
}

Figures figures_of(const StepReport& report) {
  Figures figures;
  for (const auto& [name, figure] : report) figures.emplace_back(name, figure.item<double>());
  return figures;
}

std::vector<std::string> method_names() {
  std::vector<std::string> names;
  for (const Entry& entry : table) names.emplace_back(entry.name);
  return names;
}

std::unique_ptr<MethodRecipe> make_method_recipe(const std::string& name, const Settings& settings) {
  for (const Entry& entry : table)
    if (name == entry.name) return entry.make(settings);
  fail(ExitCode::options, "train.method = '{}' is not known: give one of {}", name,
       fmt::join(method_names(), ", "));
}

}  // namespace ganymede
