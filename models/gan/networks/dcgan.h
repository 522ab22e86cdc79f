#pragma once

#include "models/gan/network.h"
#include "models/layers/image_norm.h"
#include "models/layers/minibatch_discrimination.h"
#include "models/layers/strided.h"
#include "models/layers/virtual_batch_norm.h"

namespace ganymede {

/// DCGAN in two variants:
///
///   paper    Radford et al., arXiv 1511.06434, section 3 and figure 1: no pooling; strided convolutions in D,
///            fractionally strided ones in G; batch norm but at G's output and D's input; z uniform in (-1, 1)
///   counted  what PyTorch-StudioGAN calls DCGAN: with a 3x3 convolution before each strided one in D and last
///            in G, batch norm in D from the first layer on but none on G's first map, a sum over positions at
///            D's end
///
/// With conditioning (Mirza and Osindero, arXiv 1411.1784) the label stands as a one-hot vector beside z, and in D as
/// constant maps beside the image, or beside z alone. With text (Reed et al., arXiv 1605.05396, section 4.1) an embedding
/// of E numbers goes through a linear map of each network to fewer ones and a leaky ReLU: beside z; and repeated over
/// D's last map, 4x4, which a 1x1 convolution with batch norm then mixes before the verdict.
struct DcganOptions {
  std::string variant = "paper";
  std::int64_t resolution = 64;
  std::int64_t image_channels = 3;
  std::int64_t classes = 1;
  std::string conditioning = "none";
  std::int64_t embedding = 1024;          ///< E
  std::int64_t text_compressed = 128;     ///< numbers that it becomes
  std::int64_t generator_channels = 128;  ///< of G's largest map; twice as many at half its size, and so on
  std::int64_t discriminator_channels = 128;  ///< of D's first block
  std::int64_t latent = 100;
  std::string latent_distribution = "uniform";
  std::int64_t kernel = 5;  ///< of the paper variant's strided convolutions; 4 in the other
  std::string init = "n02";
  double batch_norm_eps = 1e-5;
  std::string generator_norm = "batch";
  std::string discriminator_norm = "batch";
  std::int64_t norm_groups = 32;       ///< of D's group norm
  std::int64_t reference_batch = 64;   ///< images of virtual batch norm's
  std::int64_t minibatch_kernels = 0;  ///< of MinibatchDiscrimination before D's last layer; 0 = without
  std::int64_t minibatch_width = 5;
  std::int64_t minibatch_group = 0;

  bool counted() const { return variant == "counted"; }
  bool text() const { return conditioning == "text"; }
  /// Width of the one-hot label, or the text, beside z, and of the label beside D's input, 0 without.
  std::int64_t generator_condition() const {
    return text() ? text_compressed : conditioning == "none" ? 0 : classes;
  }
  std::int64_t discriminator_condition() const { return conditioning == "concatenation" ? classes : 0; }
  std::int64_t strided_kernel() const { return counted() ? 4 : kernel; }
  /// Doublings from 4x4 to the image.
  std::int64_t doublings() const;
  ImageNormOptions image_norm() const { return {discriminator_norm, norm_groups, batch_norm_eps}; }
  bool virtual_norm() const { return generator_norm == "virtual"; }
  /// Numbers of D's last map.
  std::int64_t last_map() const;
  /// Width of D's last layer's input.
  std::int64_t features() const;
  void describe(OptionSchema& schema);
};

/// z [N, latent], standard normal.
class DcganGenerator final : public Generator {
 public:
  explicit DcganGenerator(const DcganOptions& options);
  at::Tensor forward(const at::Tensor& z, const at::Tensor& labels, const ForwardContext& context) override;
  std::int64_t latent_size() const override { return options_.latent; }

 private:
  /// One of two kinds, or none.
  struct Norm {
    std::shared_ptr<AffineBatchNorm> of_batch = nullptr;
    std::shared_ptr<VirtualBatchNorm> of_reference = nullptr;
  };
  Norm add_norm(const std::string& name, std::int64_t channels);
  at::Tensor normalised(const Norm& norm, const at::Tensor& h, const ForwardContext& context) const;
  /// Images of the reference batch, which stand before the others.
  std::int64_t references() const { return reference_ ? reference_->z().size(0) : 0; }

  /// z as the networks want it, with what they are told.
  at::Tensor told(const at::Tensor& z, const at::Tensor& labels) const;

  DcganOptions options_;
  std::shared_ptr<Linear> text_;               // null without
  std::shared_ptr<ReferenceBatch> reference_;  // null without virtual batch norm
  std::shared_ptr<Linear> linear_;
  Norm norm_;  // of the first map; none if counted
  std::vector<std::shared_ptr<TransposedConv2d>> convs_;
  std::vector<Norm> norms_;
  std::shared_ptr<TransposedConv2d> to_image_strided_;  // one of the two
  std::shared_ptr<Conv2d> to_image_;
};

class DcganDiscriminator final : public Discriminator {
 public:
  explicit DcganDiscriminator(const DcganOptions& options);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& labels, const ForwardContext& context) override;
  std::vector<Exchange> exchanges(const GroupLayout& layout, int ranks) const override;

 private:
  /// A convolution of one of two kinds, and a norm of one of two kinds or none.
  struct Stage {
    std::shared_ptr<Conv2d> plain = nullptr;
    std::shared_ptr<StridedConv2d> strided = nullptr;
    std::shared_ptr<AffineBatchNorm> of_batch = nullptr;
    std::shared_ptr<GroupNorm> of_image = nullptr;
  };
  Stage made(const std::string& name, Stage stage, std::int64_t channels, bool norm);
  at::Tensor run(const Stage& stage, const at::Tensor& x, const ForwardContext& context) const;

  DcganOptions options_;
  std::vector<Stage> stages_;
  std::shared_ptr<Linear> text_;                        // null without
  Stage text_stage_;                                    // after the others
  std::shared_ptr<MinibatchDiscrimination> minibatch_;  // null without
  std::shared_ptr<Linear> linear_;
};

std::unique_ptr<GanNetworks> make_dcgan();

}  // namespace ganymede
