#include "models/diffusion/noisy_classifier.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/device.h"
#include "core/error.h"
#include "core/trace_range.h"
#include "models/diffusion/half_unet.h"
#include "models/diffusion/noisy_images.h"
#include "models/layers/weighted.h"

namespace ganymede {
namespace {

[[noreturn]] void refuse_to_draw() {
  fail(ExitCode::options,
       "a classifier of noisy images draws none: name it by --classifier where a diffusion model does");
}

/// log p(label | x) of each image, [N], of logits [N, classes].
at::Tensor log_likelihood(const at::Tensor& logits, const at::Tensor& labels) {
  return at::log_softmax(logits, 1).gather(1, labels.unsqueeze(1)).squeeze(1);
}

/// The network of a run, which learns no more.
class TrainedClassifier final : public NoisyClassifier {
 public:
  TrainedClassifier(std::shared_ptr<ClassifierNetwork> network, const ImageSpec& images,
                    const DiffusionProcess& process, const MethodContext& context)
      : network_(std::move(network)),
        images_(images),
        process_(process),
        context_{context.activations},
        dtype_(context.dtype),
        device_(context.device) {
    for (at::Tensor& parameter : network_->parameters()) parameter.requires_grad_(false);
    begin_phase(*network_, false);
  }
  ImageSpec images() const override { return images_; }
  const DiffusionProcess& process() const override { return process_; }
  at::Tensor gradient(const at::Tensor& x, double time, const at::Tensor& labels) override {
    const at::AutoGradMode with_graph(true);
    const Coefficients c = process_.coefficients(at::full({1}, time, at::kDouble));
    const at::Tensor seen = x.detach().to(dtype_).requires_grad_();
    const at::Tensor condition = to_device(c.condition.expand({x.size(0)}).contiguous(), device_);
    const at::Tensor logits = network_->forward(per_image(c.scale, seen) * seen, condition, context_);
    return torch::autograd::grad({log_likelihood(logits, labels).sum()}, {seen})[0].to(x.scalar_type());
  }

 private:
  std::shared_ptr<ClassifierNetwork> network_;
  ImageSpec images_;
  const DiffusionProcess& process_;
  DenoiserContext context_;
  at::ScalarType dtype_;
  at::Device device_;
};

}  // namespace

NoisyClassifierMethod::NoisyClassifierMethod(ClassifierDescription network, const DiffusionProcess& process,
                                             const OptimizerOptions& options, const MethodContext& context)
    : description_(std::move(network)),
      process_(process),
      context_(context),
      network_(description_.build()),
      player_("classifier", network_, options, context.dtype, context.device, context.gradients,
              context.bucket_bytes, context.scale_loss(), context.shard_optimizer) {}

void NoisyClassifierMethod::initialise() {
  network_->initialise(context_.seed);
  player_.reset_average();
}

std::vector<CollectiveCost> NoisyClassifierMethod::costs_per_step(int /*ranks*/) const {
  std::vector<CollectiveCost> costs;
  add_update_costs(costs, player_);
  return costs;
}

StepReport NoisyClassifierMethod::step(std::int64_t step, const NextBatch& next) {
  const TraceRange range("classifier");
  const RandomKey key{.seed = context_.seed,
                      .reseed = context_.reseed,
                      .phase = "classifier",
                      .step = static_cast<std::uint64_t>(step)};
  const double share = 1.0 / static_cast<double>(context_.batch);
  at::Tensor sum, right;
  const auto add = [](at::Tensor& total, const at::Tensor& part) {
    const at::Tensor figure = part.detach().to(at::kDouble);
    total = total.defined() ? total + figure : figure;
  };
  begin_phase(*network_, true);
  player_.zero_gradients();
  for (std::int64_t micro_step = 0; micro_step < context_.accumulate; ++micro_step) {
    const Batch batch = next();
    context_.note("classifier update");
    if (micro_step + 1 == context_.accumulate) player_.reducer().arm();
    const std::int64_t first = micro_step * context_.micro_batch() + batch.share.first;
    const NoisyImages noisy = noisy_images(process_, batch.images, key, first);
    const Coefficients& c = noisy.coefficients;
    const at::Tensor logits =
        network_->forward(per_image(c.scale, noisy.xt) * noisy.xt, to_device(c.condition, context_.device),
                          {context_.activations, LayerDraws{key, first}});
    const at::Tensor loss = -share * log_likelihood(logits, batch.labels).sum();
    add(sum, loss);
    add(right, logits.argmax(1).eq(batch.labels).sum() * share);
    show("classifier.xt", noisy.xt);
    show("classifier.logits", logits);
    show("classifier.loss", loss);
    player_.backward(loss);
  }
  player_.finish_gradients();
  player_.update();
  return {{"loss", sum}, {"accuracy", right}};
}

std::unique_ptr<Sampler> NoisyClassifierMethod::sampler(const SampleOptions& /*options*/) {
  refuse_to_draw();
}

std::shared_ptr<NoisyClassifier> NoisyClassifierMethod::classifier() {
  const bool average = player_.has_average();
  auto network = description_.build();
  network->to(context_.device, context_.dtype);
  copy_tensors(player_.weights(average), parameters_of(*network));
  copy_tensors(player_.buffers(average), buffers_of(*network));
  return std::make_shared<TrainedClassifier>(std::move(network), description_.images, process_, context_);
}

namespace {

class NoisyClassifierRecipe final : public MethodRecipe {
 public:
  explicit NoisyClassifierRecipe(const Settings& settings) {
    if (const auto setting = settings.find("diffusion.process"); setting != settings.end())
      process_name_ = setting->second.value;
    process_ = make_diffusion_process(process_name_);
  }

  void describe(OptionSchema& schema) override {
    schema.add("diffusion.process", process_name_, diffusion_process_names(),
               "how images become noise: that of the diffusion model to be guided");
    process_->describe(schema);
    network_.describe(schema);
    classifier_.describe(schema, "classifier");
    classifier_.describe_average(schema, "classifier");
  }

  void check(std::int64_t /*micro_batch*/) const override {
    network_.check();
    process_->check();
    classifier_.check("classifier");
  }
  void check_sampling(const SampleOptions& /*options*/) const override { refuse_to_draw(); }

  std::vector<std::string> warnings(std::int64_t steps) const override {
    std::vector<std::string> all{classifier_.warning("classifier", steps)};
    std::erase(all, "");
    return all;
  }

  ImageSpec images() const override {
    return {network_.image_channels, network_.resolution, network_.resolution, network_.classes};
  }

  std::vector<std::pair<std::string, std::int64_t>> parameter_counts() const override {
    std::int64_t sum = 0;
    for (const at::Tensor& parameter : HalfUnet(network_).parameters()) sum += parameter.numel();
    return {{"classifier", sum}};
  }

  std::unique_ptr<Method> build(const MethodContext& context) const override {
    return std::make_unique<NoisyClassifierMethod>(
        ClassifierDescription{images(), [options = network_] { return std::make_shared<HalfUnet>(options); }},
        *process_, classifier_, context);
  }

 private:
  std::string process_name_ = "ddpm";
  std::unique_ptr<DiffusionProcess> process_;
  HalfUnetOptions network_;
  OptimizerOptions classifier_{.lr = 3e-4, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
};

}  // namespace

std::unique_ptr<MethodRecipe> make_noisy_classifier_recipe(const Settings& settings) {
  return std::make_unique<NoisyClassifierRecipe>(settings);
}

}  // namespace ganymede
