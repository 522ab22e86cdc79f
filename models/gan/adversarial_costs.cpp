#include "models/gan/adversarial.h"
#include "models/layers/batch_norm.h"

namespace ganymede {

std::vector<CollectiveCost> AdversarialMethod::costs_per_step() const {
  const auto gradients = [](const Player& player, std::int64_t updates) {
    const auto& buckets = player.reducer().buckets();
    return CollectiveCost{player.name() + " gradients", updates * static_cast<std::int64_t>(buckets.size()),
                          updates * static_cast<std::int64_t>(player.gradient_arena().nbytes())};
  };
  CollectiveCost norms{"batch norm", 0, 0};
  const std::int64_t groups = forward_context({}).layout.groups();
  // D's updates run G forward, G's own forward and backward.
  const ConsistencyOptions& consistency = options_.consistency;
  const std::int64_t backwards = context_.accumulate * (consistency.zcr_g > 0 ? 2 : 1);
  const std::int64_t forwards =
      context_.accumulate * options_.d_steps * (consistency.zcr_d > 0 ? 2 : 1) + backwards;
  for (const auto& module : generator_->modules())
    if (const auto* norm = dynamic_cast<const BatchNorm*>(module.get())) {
      norms.count += forwards + backwards;
      norms.bytes += groups * 2 * norm->channels() *
                     (forwards * static_cast<std::int64_t>(sizeof(double)) +
                      backwards * static_cast<std::int64_t>(c10::elementSize(context_.dtype)));
    }
  std::vector<CollectiveCost> costs{gradients(discriminator_player_, options_.d_steps),
                                    gradients(generator_player_, 1), norms};
  if (CollectiveCost logits = logits_cost(); logits.count > 0) costs.push_back(std::move(logits));
  return costs;
}

CollectiveCost AdversarialMethod::logits_cost() const {
  const std::int64_t size = static_cast<std::int64_t>(c10::elementSize(context_.dtype));
  const std::int64_t features = networks_.feature_size();
  const GanLossNeeds needs = loss_.needs();
  CollectiveCost cost{"logits", 0, 0};
  const auto add = [&](bool wanted, std::int64_t count, std::int64_t bytes) {
    if (!wanted) return;
    cost.count += count;
    cost.bytes += count * bytes;
  };
  // Forward and backward.
  add(needs.means, 2 * context_.accumulate * (options_.d_steps + 1), 2 * size);
  add(needs.features, 2 * context_.accumulate, context_.micro_batch() * features * size);
  add(options_.feature_matching > 0, 2 * context_.accumulate, 2 * features * size);
  add(options_.top_k.wanted(), context_.accumulate, context_.micro_batch() * size);
  add(lecam_.wanted() || loss_state_.defined(), options_.d_steps,
      2 * static_cast<std::int64_t>(sizeof(double)));
  return cost;
}

}  // namespace ganymede
