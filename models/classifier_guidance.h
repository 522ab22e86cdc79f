#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "models/image_spec.h"

namespace ganymede {

class DiffusionProcess;  // models/diffusion/process.h

/// A classifier p(y | x_t) of images that are as noisy as a diffusion process makes them by time t.
class NoisyClassifier {
 public:
  virtual ~NoisyClassifier() = default;
  /// What it tells apart, and the process whose noise it has learned with.
  virtual ImageSpec images() const = 0;
  virtual const DiffusionProcess& process() const = 0;
  /// Of each image the gradient of log p(label | x) by x: x [N, C, H, W], all at the process's `time`, labels [N] on
  /// x's device; like x. Also where no graph is kept.
  virtual at::Tensor gradient(const at::Tensor& x, double time, const at::Tensor& labels) = 0;
};

/// What a Method is beside that, where it trains such a classifier.
class ClassifierTraining {
 public:
  virtual ~ClassifierTraining() = default;
  /// A copy of it as it is now, of its average if there is one. The method must outlive it. Collective where
  /// players are sharded.
  virtual std::shared_ptr<NoisyClassifier> classifier() = 0;
};

/// What a Sampler is beside that, which a classifier may guide.
class ClassifierGuided {
 public:
  virtual ~ClassifierGuided() = default;
  /// From now on images are drawn by the score of p(x_t) p(y | x_t)^scale, y their labels. Throws Error(options) where
  /// the classifier has learned from other images, classes or noise than the sampler draws with.
  virtual void guide_by(std::shared_ptr<NoisyClassifier> classifier, double scale) = 0;
};

}  // namespace ganymede
