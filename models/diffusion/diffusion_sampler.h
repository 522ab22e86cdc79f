#pragma once

#include "models/classifier_guidance.h"
#include "models/denoising_path.h"
#include "models/diffusion/churn.h"
#include "models/diffusion/denoiser.h"
#include "models/diffusion/process.h"
#include "models/diffusion/solver.h"
#include "models/latent_images.h"
#include "models/likelihood.h"
#include "models/method.h"

namespace ganymede {

/// How images are drawn.
struct DrawOptions {
  std::string solver = "ddim";
  std::int64_t steps = 50;
  std::string spacing = "trailing";
  std::int64_t offset = 0;    ///< added to the times of "leading"
  std::string end = "image";  ///< or "first": what the last step leads to
  SolverOptions solver_options;
  ChurnOptions churn;
  double guidance = 1;
  static constexpr double no_limit = 1e9;               ///< as guidance_most
  double guidance_least = 0, guidance_most = no_limit;  ///< of sigma / alpha
  bool clip = true;

  void describe(OptionSchema& schema);
  /// Throws Error(options) where they do not fit together, or need labels or sources to have been left out in training.
  void check(const DiffusionProcess& process, bool leaves_out) const;
  /// Whether there is guidance at a point of the way. sigma / alpha may be infinite.
  bool guides_at(const PathPoint& point) const {
    return point.sigma >= guidance_least * point.alpha &&
           (guidance_most == no_limit || point.sigma <= guidance_most * point.alpha);
  }
};

/// Draws images by a denoiser. With guidance w its output F becomes, for noise sigma / alpha within the
/// interval,
///
///     F(x, none) + w (F(x, label) - F(x, none))
///
/// (Ho and Salimans, arXiv 2207.12598; the interval: Kynkaanniemi et al., arXiv 2404.07724): w = 1 is no
/// guidance, and w = 0 no label. Both are one forward of twice the images. With sources, "none" is without whatever
/// was left out in training: label, source or both; a caption goes like a source. Image i has row i of the sources or
/// captions; images_of(), where images have no number, row 0 for all.
///
/// A classifier (guide_by) acts within the same interval, alone or beside that: see Denoised. Where x is noise alone
/// (alpha = 0) it knows nothing. What it makes of an estimate is clipped too. A run without classes then has those of
/// the classifier.
class DiffusionSampler final : public Sampler,
                               public LatentImages,
                               public DenoisingPath,
                               public Likelihood,
                               public ClassifierGuided {
 public:
  struct Setting {
    std::uint64_t seed;
    ImageSpec images;
    bool without_label;  ///< whether the network has a label for none
    std::optional<at::ScalarType> activations;
    at::ScalarType dtype;
    at::Device device;
    std::function<void(std::string_view activity)> alive = {};  ///< MethodContext's
    /// Images in [-1, 1], float32, of latents; without it what is drawn is the images.
    std::function<at::Tensor(const at::Tensor& latents)> decode = {};
    bool has_sources = false;     ///< whether the network sees a source beside each image
    bool without_source = false;  ///< and has learned to do without
    std::function<at::Tensor(std::int64_t first, std::int64_t count)> sources = {};  ///< SampleOptions'
    /// Captions of images first, first + 1, ...: TextCondition's rows; empty where the network is told none.
    std::function<at::Tensor(std::int64_t first, std::int64_t count)> captions = {};
    bool without_caption = false;  ///< whether the network has learned without them
  };
  /// `process` must outlive it.
  DiffusionSampler(std::shared_ptr<Denoiser> network, const DiffusionProcess& process,
                   const DrawOptions& options, Setting setting);
  at::Tensor images(std::int64_t first, const at::Tensor& labels) override;
  at::Tensor latents(std::int64_t first, std::int64_t count) const override;
  at::Tensor images_of(const at::Tensor& latents, const at::Tensor& labels) override;
  std::int64_t steps() const override { return options_.steps; }
  at::Tensor estimates(std::int64_t first, const at::Tensor& labels, std::int64_t columns) override;
  bool takes_guidance() const override {
    return setting_.without_label || setting_.without_source || setting_.without_caption;
  }
  at::Tensor images_guided_by(double guidance, std::int64_t first, const at::Tensor& labels) override;
  void guide_by(std::shared_ptr<NoisyClassifier> classifier, double scale) override;
  bool has_likelihood() const override {
    return process_.chain_length() > 0 && !setting_.decode && !setting_.has_sources && !setting_.captions;
  }
  /// The variational bound (Ho et al., arXiv 2006.11239, equation 5), float64 but for the network: one evaluation for
  /// each time of the chain, at one draw of noise each. Without guidance; estimates are clipped where samples are.
  at::Tensor bits_per_dimension(std::int64_t first, const at::Tensor& images,
                                const at::Tensor& labels) override;

 private:
  using StepNoise = std::function<at::Tensor(std::string_view stream, std::uint64_t step)>;
  /// How one batch is drawn.
  struct Way {
    at::Tensor labels, sources, captions;  ///< on the device; no sources or captions where there are none
    double guidance;
    StepNoise noise;  ///< of the steps
    double pull = 0;  ///< weight of the classifier
    /// Told what the network makes of x at the beginning of each step, from 0; may be empty.
    std::function<void(std::int64_t step, const at::Tensor& estimate)> watch = {};
  };
  /// Images first, ... of these labels.
  Way way_of(std::int64_t first, const at::Tensor& labels) const;
  /// From noise of variance 1 to the image.
  at::Tensor solve(const at::Tensor& noise, const Way& way);
  /// An image of what x is: itself, or what it is the latent of.
  at::Tensor shown(const at::Tensor& x) const;
  at::Tensor noise(std::string_view stream, std::uint64_t step, std::int64_t first, std::int64_t count) const;
  /// Throws Error(options) where there should be some, and are none.
  at::Tensor sources(std::int64_t first, std::int64_t count) const;
  /// On the device; undefined where the network is told none.
  at::Tensor captions(std::int64_t first, std::int64_t count) const;
  /// The captions of `count` images, and where `also_without` the same of as many that go without.
  TextCondition told_text(const at::Tensor& captions, std::int64_t count, bool also_without) const;
  Denoised denoise(const at::Tensor& x, const PathPoint& point, const Way& way);
  /// Whether a process makes the same noise at the times of the path.
  bool makes_same_noise(const DiffusionProcess& process) const;

  std::shared_ptr<Denoiser> network_;
  const DiffusionProcess& process_;
  DrawOptions options_;
  Setting setting_;
  std::vector<PathPoint> path_;  // the image last
  std::shared_ptr<NoisyClassifier> classifier_;  // may be null
  double pull_ = 0;                              // its weight
};

/// The points of a way of options.steps steps, and what comes after the last: the image, or with options.end = first
/// the chain's first time, whose little noise stays. Throws Error(options) where a process has no such times.
std::vector<PathPoint> path_of(const DiffusionProcess& process, const DrawOptions& options);

}  // namespace ganymede
