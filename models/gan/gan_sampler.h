#pragma once

#include "models/code_traversal.h"
#include "models/gan/latent_codes.h"
#include "models/gan/style_generator.h"
#include "models/latent_images.h"
#include "models/latent_paths.h"
#include "models/method.h"

namespace ganymede {

/// Draws images from a generator that it owns: a StyleGenerator where options.psi is not 1. Image i of one that follows
/// a text is drawn from row i of options.embeddings; without these, Error(options).
class GanSampler final : public Sampler, public LatentPaths, public LatentImages, public CodeTraversal {
 public:
  struct Setting {
    std::int64_t batch;            ///< images that share statistics where batch norm looks at the batch
    std::int64_t standing_passes;  ///< such batches that standing statistics average
    std::int64_t classes;
    at::ScalarType dtype;
    at::Device device;
    std::function<void(std::string_view activity)> alive = {};  ///< MethodContext's
    LatentCodes codes = {};
    at::Tensor fade = {};      ///< ForwardContext's
    std::int64_t enlarge = 1;  ///< each pixel is repeated so many times along each axis
    bool text = false;         ///< the network is told embeddings in the place of labels
  };
  /// Collective on `communicator` where options.batch_norm is "standing": the passes are divided among ranks.
  GanSampler(std::shared_ptr<Generator> network, const SampleOptions& options, const Setting& setting,
             Communicator& communicator);

  std::int64_t granularity() const override { return options_.batch_norm == "batch" ? setting_.batch : 1; }
  at::Tensor images(std::int64_t first, const at::Tensor& labels) override;
  std::pair<at::Tensor, at::Tensor> path_ends(std::int64_t first, const at::Tensor& labels,
                                              double step) override;
  std::vector<std::int64_t> codes() const override;
  at::Tensor images_with_code(std::int64_t first, const at::Tensor& labels, std::int64_t code,
                              const at::Tensor& values) override;
  at::Tensor latents(std::int64_t first, std::int64_t count) const override;
  at::Tensor images_of(const at::Tensor& latents, const at::Tensor& labels) override;
  std::int64_t style_layers() override;
  at::Tensor styles_of(const at::Tensor& latents, const at::Tensor& labels) override;
  at::Tensor images_of_styles(const at::Tensor& styles) override;

 private:
  at::Tensor latents(std::string_view phase, std::int64_t first, std::int64_t count,
                     at::ScalarType dtype) const;
  BatchNormMode mode() const;
  /// z with the codes of images first, first + 1, ... of a phase.
  at::Tensor coded(std::string_view phase, std::int64_t first, const at::Tensor& z) const;
  /// Images first, first + 1, ... of a phase, from their z: it names the networks' own noise. As finished().
  at::Tensor forward(std::string_view phase, std::int64_t first, const at::Tensor& z,
                     const at::Tensor& labels, BatchNormMode mode);
  /// Images, and the styles that options.psi leaves, of z.
  at::Tensor run(const at::Tensor& z, const at::Tensor& labels, const ForwardContext& context);
  at::Tensor styles(const at::Tensor& z, const at::Tensor& labels, const ForwardContext& context);
  /// What the network is told of images first, first + 1, ...: their labels, or embeddings.
  at::Tensor condition(std::int64_t first, const at::Tensor& labels) const;
  /// A network's images at their full size, in float32.
  at::Tensor finished(const at::Tensor& images) const;
  /// Of images that share no statistics, without noise of their own.
  ForwardContext context_of(std::int64_t count);
  /// The network, which must have styles.
  StyleGenerator& styled();
  void gather_standing_statistics(Communicator& communicator);

  std::shared_ptr<Generator> network_;
  SampleOptions options_;
  Setting setting_;
  std::unique_ptr<Communicator> alone_;
};

}  // namespace ganymede
