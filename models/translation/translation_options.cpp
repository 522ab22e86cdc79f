#include "models/translation/translation_options.h"

#include "core/error.h"
#include "models/translation/patch_loss.h"

namespace ganymede {

void TranslationOptions::describe(OptionSchema& schema) {
  const std::string s = section + ".";
  schema.add("gan.loss", loss, gan_loss_names(), "adversarial loss, of each patch");
  schema.add(s + "height", height, "pixels", {4, 1 << 14}, "of images and sources");
  schema.add(s + "width", width, "pixels", {4, 1 << 14}, "of images and sources");
  schema.add(s + "image_channels", image_channels, "", {1, 64}, "channels of an image");
  schema.add(s + "source_channels", source_channels, "", {1, 64}, "channels of a source");
  schema.add(s + "adversarial", adversarial, "", {0, 1e6}, "weight of the generator's adversarial loss");
  schema.add(s + "discriminator_factor", discriminator_factor, "", {1e-6, 1e6},
             "of the discriminator's loss: the papers halve it");
  patches.describe(schema, section);
}

void TranslationOptions::describe_players(OptionSchema& schema) {
  generator.describe(schema, "generator");
  generator.describe_average(schema, "generator");
  discriminator.describe(schema, "discriminator");
}

void TranslationOptions::check(const GanLoss& made) const {
  made.check();
  PatchLoss::check(loss, made);
  generator.check("generator");
  discriminator.check("discriminator");
  patches.check(section, height, width);
}

void TranslationOptions::check_sampling(const SampleOptions& options, const std::string& norm) const {
  if (options.truncation > 0)
    fail(ExitCode::options, "--truncation is of a GAN's z, and translation draws none: leave it out");
  if (options.psi != 1)
    fail(ExitCode::options, "--psi is of a GAN's styles, and translation has none: leave it out");
  if (options.batch_norm != "running" && norm != "batch")
    fail(ExitCode::options, "--batchnorm {}: this network has no batch norm", options.batch_norm);
  if (options.batch_norm == "standing")
    fail(ExitCode::options,
         "--batchnorm standing averages over drawn latents, and translation has none: give batch or running");
}

std::vector<std::string> TranslationOptions::warnings(std::int64_t steps) const {
  std::vector<std::string> all{generator.warning("generator", steps),
                               discriminator.warning("discriminator", steps)};
  std::erase(all, "");
  return all;
}

ImageSpec TranslationOptions::images(SourceImages sources) const {
  return {.channels = image_channels,
          .height = height,
          .width = width,
          .classes = 1,
          .sources = sources,
          .source_channels = source_channels};
}

std::string chosen_loss(const Settings& settings, const std::string& by_default) {
  const auto setting = settings.find("gan.loss");
  return setting == settings.end() ? by_default : setting->second.value;
}

std::int64_t count_parameters(const torch::nn::Module& network) {
  std::int64_t sum = 0;
  for (const at::Tensor& parameter : network.parameters()) sum += parameter.numel();
  return sum;
}

}  // namespace ganymede
