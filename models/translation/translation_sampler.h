#pragma once

#include "models/method.h"
#include "models/translation/translator.h"

namespace ganymede {

/// Translates images: image i is what a network that it owns makes of row i of SampleOptions::sources.
class TranslationSampler final : public Sampler {
 public:
  struct Setting {
    std::int64_t channels, height, width;  ///< of what is translated
    std::int64_t batch;  ///< images that share statistics where batch norm looks at the batch
    bool dropout;        ///< whether the network's dropout is drawn, by seed and image
    at::ScalarType dtype;
    at::Device device;
  };
  TranslationSampler(std::shared_ptr<Translator> network, const SampleOptions& options,
                     const Setting& setting);

  std::int64_t granularity() const override { return looks_at_batch() ? setting_.batch : 1; }
  /// Throws Error(options) where no sources were given, or they are of another shape.
  at::Tensor images(std::int64_t first, const at::Tensor& labels) override;

 private:
  bool looks_at_batch() const { return options_.batch_norm == "batch"; }
  at::Tensor sources(std::int64_t first, std::int64_t count) const;

  std::shared_ptr<Translator> network_;
  SampleOptions options_;
  Setting setting_;
  std::unique_ptr<Communicator> alone_;
};

}  // namespace ganymede
