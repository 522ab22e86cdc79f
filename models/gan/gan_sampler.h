#pragma once

#include "models/gan/network.h"
#include "models/latent_paths.h"
#include "models/method.h"

namespace ganymede {

/// Draws images from a generator that it owns: a StyleGenerator where options.psi is not 1.
class GanSampler final : public Sampler, public LatentPaths {
 public:
  struct Setting {
    std::int64_t batch;            ///< images that share statistics where batch norm looks at the batch
    std::int64_t standing_passes;  ///< such batches that standing statistics average
    std::int64_t classes;
    at::ScalarType dtype;
    at::Device device;
    std::function<void(std::string_view activity)> alive = {};  ///< MethodContext's
  };
  /// Collective on `communicator` where options.batch_norm is "standing": the passes are divided among ranks.
  GanSampler(std::shared_ptr<Generator> network, const SampleOptions& options, const Setting& setting,
             Communicator& communicator);

  std::int64_t granularity() const override { return options_.batch_norm == "batch" ? setting_.batch : 1; }
  at::Tensor images(std::int64_t first, const at::Tensor& labels) override;
  std::pair<at::Tensor, at::Tensor> path_ends(std::int64_t first, const at::Tensor& labels,
                                              double step) override;

 private:
  at::Tensor latents(std::string_view phase, std::int64_t first, std::int64_t count,
                     at::ScalarType dtype) const;
  BatchNormMode mode() const;
  /// Images first, first + 1, ... of a phase, from their z: it names the networks' own noise.
  at::Tensor forward(std::string_view phase, std::int64_t first, const at::Tensor& z,
                     const at::Tensor& labels, BatchNormMode mode);
  void gather_standing_statistics(Communicator& communicator);

  std::shared_ptr<Generator> network_;
  SampleOptions options_;
  Setting setting_;
  std::unique_ptr<Communicator> alone_;
};

}  // namespace ganymede
