#pragma once

#include "launch/command_line.h"
#include "launch/loaded_run.h"
#include "models/classifier_guidance.h"

namespace ganymede {

/// What `sample` and `evaluate` are told of a classifier that is to guide a diffusion model: --classifier (empty for
/// none), --classifier-scale. The flags themselves come with those of the sampler (launch/sampler_flags.h).
struct ClassifierRequest {
  std::filesystem::path from;
  double scale = 1;
};
/// Throws Error(options) for a scale out of range, or without a classifier.
ClassifierRequest read_classifier(const CommandLine& line);

/// The classifier of noisy images that a run has trained.
class GuidingClassifier {
 public:
  /// Verifies and loads it; does nothing where the request names none. Collective; throws AgreedError.
  GuidingClassifier(Process& process, const ClassifierRequest& request, const std::string& device);

  /// What images are drawn as: of the classifier's classes where the run has none of its own.
  ImageSpec with_classes(const ImageSpec& spec) const;
  /// Lets it guide a sampler, if there is one. Collective; throws AgreedError where they do not fit together.
  void guide(Process& process, Sampler& sampler) const;
  /// For a protocol: which it is, and its weight; null where there is none.
  nlohmann::json details() const;

 private:
  ClassifierRequest request_;
  std::unique_ptr<LoadedRun> run_;  // outlives what is made of it
  std::shared_ptr<NoisyClassifier> classifier_;
};

}  // namespace ganymede
