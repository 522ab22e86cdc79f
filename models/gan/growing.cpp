#include "models/gan/growing.h"

#include <ATen/ATen.h>

#include "models/encoders/projection_networks.h"

namespace ganymede {

GrowingMethod::GrowingMethod(const GanNetworks& networks, const GanLoss& loss, const GanAuxiliary* auxiliary,
                             const AdversarialOptions& options, const GrowthOptions& growth,
                             const MethodContext& context)
    : networks_(networks),
      loss_(loss),
      auxiliary_(auxiliary),
      options_(options),
      growth_(growth),
      context_(context),
      resolution_(networks.images().height),
      stages_(growth.stages(resolution_, context.batch)),
      index_(stage_at(stages_, context.position)),
      stage_(grown_to(stages_[index_])),
      alpha_(growth.alpha(stages_[index_], context.position)) {
  tell_growth();
}

std::unique_ptr<GrowingMethod::Grown> GrowingMethod::grown_to(const Stage& stage) const {
  const std::int64_t present = resolution_ / stage.shrink;
  AdversarialOptions options = options_;
  if (const auto rate = growth_.learning_rate(present))
    options.generator.lr = options.discriminator.lr = *rate;
  MethodContext context = context_;
  context.batch = stage.batch;
  std::unique_ptr<GanNetworks> networks = networks_.grown_to(present);
  const GanNetworks& of_stage = *networks;
  return std::unique_ptr<Grown>(
      new Grown{std::move(networks), AdversarialMethod(of_stage, loss_, auxiliary_, options, context)});
}

void GrowingMethod::tell_growth() {
  stage_->method.set_growth({alpha_, stages_[index_].shrink});
}

std::unique_ptr<ProjectionNetworks> GrowingMethod::projection(const SampleOptions& options) {
  return stage_->method.projection(options);
}

void GrowingMethod::move_to(std::int64_t position) {
  const std::size_t index = stage_at(stages_, position);
  while (index_ < index) {
    context_.note("growing");
    auto next = grown_to(stages_[++index_]);
    next->method.initialise();
    next->method.take_over(stage_->method);
    stage_ = std::move(next);
    alpha_ = 0;
  }
  const double before = std::exchange(alpha_, growth_.alpha(stages_[index_], position));
  if (before < 1 && alpha_ == 1)
    for (Player* player : players()) player->reset_optimizer();
  tell_growth();
}

StepReport GrowingMethod::step(std::int64_t step, const NextBatch& next) {
  stage_->method.observe = observe;
  StepReport report = stage_->method.step(step, [&] {
    Batch batch = next();
    if (alpha_ < 1) {
      const std::int64_t size[] = {batch.images.size(2), batch.images.size(3)};
      const at::Tensor coarse = at::upsample_nearest2d(at::avg_pool2d(batch.images, 2), size);
      batch.images = at::lerp(coarse, batch.images, alpha_);
    }
    return batch;
  });
  // Figures are summed over ranks.
  const bool first = context_.gradients.rank() == 0;
  const auto figure = [&](const char* name, double value) {
    report.emplace_back(
        name, at::full({}, first ? value : 0, at::TensorOptions(at::kDouble).device(context_.device)));
  };
  figure("resolution", static_cast<double>(resolution_ / stages_[index_].shrink));
  figure("alpha", alpha_);
  return report;
}

}  // namespace ganymede
