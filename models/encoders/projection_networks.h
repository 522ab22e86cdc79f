#pragma once

#include "models/encoders/encoder.h"
#include "models/gan/style_generator.h"

namespace ganymede {

/// Copies of a trained GAN's networks as functions that images are projected by (models/encoders/projector.h). What
/// they give of an image depends on that image alone: batch norm uses its running averages, noise is the generator's
/// fixed one. Gradients go to latents, styles and images; weights are constants. Legend: N images, D numbers of a
/// latent, L layers, S numbers of a style, F features. Not collective.
class ProjectionNetworks {
 public:
  /// Of images [N, C, H, W], as small as the generator makes them, and labels [N].
  using ImageFeatures =
      std::function<at::Tensor(const at::Tensor& x, const at::Tensor& labels, const ForwardContext& context)>;
  struct Parts {
    std::shared_ptr<Generator> generator;
    std::shared_ptr<ImageEncoder> encoder = nullptr;  ///< null without
    std::shared_ptr<Network> discriminator = nullptr;
    ImageFeatures features = {};       ///< of the discriminator [N, F]; may be empty
    std::string why_no_features = {};  ///< a clause, where that is empty: "it looks at latents"
    std::int64_t classes = 1;
    at::ScalarType dtype = at::kFloat;
    at::Device device = at::kCPU;
    at::Tensor fade = {};      ///< ForwardContext's
    std::int64_t enlarge = 1;  ///< each pixel is repeated so many times along each axis

    /// Those of `discriminator`, which is this one and shows some, unless it compares images.
    void add_features_of(Discriminator& judge);
  };
  /// The networks are its own from now on.
  explicit ProjectionNetworks(Parts parts);

  std::int64_t latent_size() const { return parts_.generator->latent_size(); }
  std::int64_t classes() const { return parts_.classes; }
  at::Device device() const { return parts_.device; }
  at::ScalarType dtype() const { return parts_.dtype; }

  /// z [N, D], labels [N] -> images [N, C, H, W].
  at::Tensor images(const at::Tensor& z, const at::Tensor& labels);

  bool has_styles() const { return styled() != nullptr; }
  /// -> [N, L, S]. Needs styles, as the next.
  at::Tensor styles(const at::Tensor& z, const at::Tensor& labels);
  at::Tensor images_of_styles(const at::Tensor& ws);

  bool has_encoder() const { return parts_.encoder != nullptr; }
  /// [N, D]: the mean of what the encoder says.
  at::Tensor encoded(const at::Tensor& images);

  bool has_features() const { return static_cast<bool>(parts_.features); }
  const std::string& why_no_features() const { return parts_.why_no_features; }
  /// [N, F]: what the discriminator's last layer is given.
  at::Tensor features(const at::Tensor& images, const at::Tensor& labels);

 private:
  StyleGenerator* styled() const { return dynamic_cast<StyleGenerator*>(parts_.generator.get()); }
  ForwardContext context_of(std::int64_t count);
  at::Tensor finished(const at::Tensor& images) const;
  at::Tensor shrunk(const at::Tensor& images) const;

  Parts parts_;
  std::unique_ptr<Communicator> alone_;
};

/// Whether what a network says of an image depends on others beside it, by more than batch norm.
bool compares_images(const Network& network);

}  // namespace ganymede
