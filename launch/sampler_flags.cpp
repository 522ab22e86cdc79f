#include "launch/sampler_flags.h"

namespace ganymede {
namespace {

/// Commands make their tables before main() too.
const std::vector<Flag>& sampler_flags() {
  static const std::vector<Flag> flags{
      {"sampler.solver", "NAME", "of a diffusion model: ddpm, ddim, dpm++2m, euler, heun [the run's own]"},
      {"sampler.steps", "N", "steps from noise to image [the run's own]"},
      {"sampler.spacing", "NAME", "which of the chain's times: trailing or leading [the run's own]"},
      {"sampler.offset", "N", "added to leading times [the run's own]"},
      {"sampler.end", "NAME",
       "what the last step leads to: image, or first for the chain's first time [the run's own]"},
      {"sampler.eta", "E", "ddim's noise, 0 to 1 [the run's own]"},
      {"sampler.churn", "S",
       "noise added on the way, in all steps together, with edm and flow [the run's own]"},
      {"sampler.churn_least", "S", "least noise (sigma / alpha) to which it is added [the run's own]"},
      {"sampler.churn_most", "S", "most noise to which it is added [the run's own]"},
      {"sampler.churn_noise", "F", "deviation of what is added, over the process's own [the run's own]"},
      {"sampler.guidance", "W", "weight of the label, 1 for no guidance [the run's own]"},
      {"sampler.guidance_least", "S", "least noise (sigma / alpha) with guidance [the run's own]"},
      {"sampler.guidance_most", "S", "most noise with guidance [the run's own]"},
      {"sampler.direction", "NAME",
       "of CycleGAN: images, made of sources, or sources, made of images [the run's own]"},
      {"sampler.dropout", "BOOL", "of pix2pix: whether dropout is drawn [the run's own]"},
  };
  return flags;
}

}  // namespace

std::vector<Flag> with_sampler_flags(std::span<const Flag> flags) {
  std::vector<Flag> all(flags.begin(), flags.end());
  all.insert(all.end() - 1, sampler_flags().begin(), sampler_flags().end());
  // Of no run's options: another run (launch/guiding_classifier.h).
  const Flag classifier[] = {
      {"classifier", "RUN|CHECKPOINT",
       "of a diffusion model: a run of train.method = noisy_classifier whose gradient guides it [none]"},
      {"classifier-scale", "S", "weight of that gradient [1]"},
  };
  all.insert(all.end() - 1, std::begin(classifier), std::end(classifier));
  return all;
}

Settings sampler_settings(const CommandLine& line) {
  Settings settings;
  for (const Flag& flag : sampler_flags())
    if (line.has(flag.name)) settings[flag.name] = {line.value(flag.name), "command line"};
  return settings;
}

}  // namespace ganymede
