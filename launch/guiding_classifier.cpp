#include "launch/guiding_classifier.h"

#include "core/error.h"

namespace ganymede {

ClassifierRequest read_classifier(const CommandLine& line) {
  ClassifierRequest request{.from = line.value("classifier")};
  if (!line.has("classifier-scale")) return request;
  if (request.from.empty())
    fail(ExitCode::options, "--classifier-scale is the weight of a classifier: name one by --classifier");
  OptionSchema schema;
  schema.add("--classifier-scale", request.scale, "", {0, 1000}, "");
  schema.apply({{"--classifier-scale", {line.value("classifier-scale"), "command line"}}});
  return request;
}

GuidingClassifier::GuidingClassifier(Process& process, const ClassifierRequest& request,
                                     const std::string& device)
    : request_(request) {
  if (request.from.empty()) return;
  run_ = std::make_unique<LoadedRun>(process, request.from, device);
  auto* training = dynamic_cast<ClassifierTraining*>(&run_->method());
  process.together([&] {
    if (!training)
      fail(ExitCode::options,
           "--classifier {}: this run has not trained a classifier of noisy images, train.method = "
           "noisy_classifier",
           request.from.string());
  });
  classifier_ = training->classifier();
}

ImageSpec GuidingClassifier::with_classes(const ImageSpec& spec) const {
  ImageSpec result = spec;
  if (classifier_ && spec.classes == 1) result.classes = classifier_->images().classes;
  return result;
}

void GuidingClassifier::guide(Process& process, Sampler& sampler) const {
  if (!classifier_) return;
  process.together([&] {
    auto* guided = dynamic_cast<ClassifierGuided*>(&sampler);
    if (!guided)
      fail(ExitCode::options, "--classifier guides a diffusion model, and this run is none: leave it out");
    guided->guide_by(classifier_, request_.scale);
  });
}

nlohmann::json GuidingClassifier::details() const {
  if (!classifier_) return nullptr;
  return {{"name", request_.from.lexically_normal().filename().string()},
          {"step", run_->checkpoint().manifest.step},
          {"scale", request_.scale}};
}

}  // namespace ganymede
