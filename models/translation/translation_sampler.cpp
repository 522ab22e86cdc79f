#include "models/translation/translation_sampler.h"

#include "core/error.h"

namespace ganymede {

TranslationSampler::TranslationSampler(std::shared_ptr<Translator> network, const SampleOptions& options,
                                       const Setting& setting)
    : network_(std::move(network)), options_(options), setting_(setting), alone_(make_single_communicator()) {
  network_->begin_phase(false);
}

at::Tensor TranslationSampler::sources(std::int64_t first, std::int64_t count) const {
  if (!options_.sources)
    fail(ExitCode::options,
         "there is nothing to translate: name a dataset with a second image set, --conditions FILE");
  const at::Tensor x = options_.sources(first, count);
  const std::int64_t shape[] = {count, setting_.channels, setting_.height, setting_.width};
  if (x.sizes() != at::IntArrayRef(shape))
    fail(ExitCode::options,
         "what is to be translated has {} channels, {}x{} pixels, and the network takes {} channels, {}x{}: "
         "name "
         "another dataset, --conditions FILE",
         x.size(1), x.size(2), x.size(3), setting_.channels, setting_.height, setting_.width);
  return x.to(setting_.device, setting_.dtype);
}

at::Tensor TranslationSampler::images(std::int64_t first, const at::Tensor& labels) {
  const at::NoGradGuard no_grad;
  const std::int64_t count = labels.size(0);
  ForwardContext context{*alone_,
                         {0, count, looks_at_batch() ? setting_.batch : count},
                         looks_at_batch() ? BatchNormMode::batch : BatchNormMode::running};
  if (setting_.dropout) context.noise = NoiseSource{{.seed = options_.seed, .phase = "sample"}, first};
  return network_->forward(sources(first, count), context).to(at::kFloat);
}

}  // namespace ganymede
