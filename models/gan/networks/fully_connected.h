#pragma once

#include "models/gan/network.h"
#include "models/layers/weighted.h"

namespace ganymede {

/// The first GAN (Goodfellow et al., arXiv 1406.2661, section 5): rectifiers in G, maxout (Goodfellow et al., arXiv
/// 1302.4389) in D. With conditioning, the label stands beside the input of both as a one-hot vector (Mirza and
/// Osindero, arXiv 1411.1784), or of G alone. Images of any shape: points of the plane are images [2, 1, 1].
struct FullyConnectedOptions {
  std::int64_t image_channels = 1;
  std::int64_t height = 28;
  std::int64_t width = 28;
  std::int64_t classes = 1;
  std::string conditioning = "none";
  std::int64_t latent = 100;
  std::string latent_distribution = "uniform";
  std::vector<std::int64_t> generator_widths = {1200, 1200};
  std::vector<std::int64_t> discriminator_widths = {240, 240};
  std::int64_t pieces = 5;  ///< linear pieces of a maxout unit
  std::string output = "tanh";
  std::string init = "xavier";

  std::int64_t pixels() const { return image_channels * height * width; }
  /// Width of the one-hot label beside G's input and D's, 0 without.
  std::int64_t generator_condition() const { return conditioning == "none" ? 0 : classes; }
  std::int64_t discriminator_condition() const { return conditioning == "concatenation" ? classes : 0; }
  void describe(OptionSchema& schema);
};

/// z [N, latent], standard normal.
class FullyConnectedGenerator final : public Generator {
 public:
  explicit FullyConnectedGenerator(const FullyConnectedOptions& options);
  at::Tensor forward(const at::Tensor& z, const at::Tensor& labels, const ForwardContext& context) override;
  std::int64_t latent_size() const override { return options_.latent; }

 private:
  FullyConnectedOptions options_;
  std::vector<std::shared_ptr<Linear>> layers_;
  std::shared_ptr<Linear> to_image_;
};

class FullyConnectedDiscriminator final : public Discriminator {
 public:
  explicit FullyConnectedDiscriminator(const FullyConnectedOptions& options);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& labels, const ForwardContext& context) override;

 private:
  FullyConnectedOptions options_;
  std::vector<std::shared_ptr<Linear>> layers_;
  std::shared_ptr<Linear> linear_;
};

std::unique_ptr<GanNetworks> make_fully_connected();

}  // namespace ganymede
