#include <cmath>

#include "models/gan/adversarial.h"

namespace ganymede {

namespace {

/// How often a step runs a network in training.
struct Passes {
  std::int64_t forwards = 0, backwards = 0;
  double penalties =
      0;  ///< forward, its gradient, and the gradient of that; less than one where they are lazy
};

/// Of which what comes every few steps only is a fraction.
struct SpreadCost {
  double count = 0, bytes = 0;

  CollectiveCost cost(const std::string& what) const {
    return {what, std::llround(count), std::llround(bytes)};
  }
};

void add(SpreadCost& cost, const Exchange& exchange, const Passes& passes, std::int64_t size) {
  // The gradient's own backward passes through what it sent, and through the forward. (The counted DCGAN's last batch
  // norm is spared that: what follows is linear. It sends one all-reduce less.)
  const double exact =
      static_cast<double>(passes.forwards) + passes.penalties * (exchange.made_again ? 2 : 1);
  const double rounded = exchange.backward ? static_cast<double>(passes.backwards) +
                                                 passes.penalties * (exchange.made_again ? 4 : 3)
                                           : 0;
  const double rounded_size = static_cast<double>(size);
  cost.count += exact + rounded;
  cost.bytes += static_cast<double>(exchange.numbers) *
                (exact * (exchange.rounded ? rounded_size : sizeof(double)) + rounded * rounded_size);
}

}  // namespace

std::vector<CollectiveCost> AdversarialMethod::costs_per_step(int ranks) const {
  const GradientPenaltyOptions& penalty = options_.penalty;
  const PathLengthOptions& paths = options_.path_length;
  std::vector<CollectiveCost> costs;
  add_update_costs(costs, discriminator_player_, options_.d_steps, penalty.due_apart(0) ? penalty.every : 0);
  add_update_costs(costs, generator_player_, 1, paths.wanted() ? paths.every : 0);
  costs.push_back(mixing_cost(ranks));
  if (CollectiveCost logits = logits_cost(); logits.count > 0) costs.push_back(std::move(logits));
  return costs;
}

CollectiveCost AdversarialMethod::mixing_cost(int ranks) const {
  const ConsistencyOptions& consistency = options_.consistency;
  const auto of = [](bool wanted) { return std::int64_t{wanted}; };
  const std::int64_t d = context_.accumulate * options_.d_steps, g = context_.accumulate;
  // D's updates run G forward, G's own forward and backward.
  const std::int64_t interpolated = of(options_.text.interpolation > 0);
  const std::int64_t own = g * (1 + of(consistency.zcr_g > 0) + interpolated);
  const auto every = [](bool wanted, std::int64_t micro_batches, std::int64_t period) {
    return wanted ? static_cast<double>(micro_batches) / static_cast<double>(period) : 0;
  };
  const double paths = every(options_.path_length.wanted(), g, options_.path_length.every);
  const Passes generator{d * (1 + of(consistency.zcr_d > 0)) + own, own, paths};
  // D judges real images, fakes and real images with others' texts apart.
  const std::int64_t judged =
      d * (2 + of(options_.text.matches(networks_.images())) + of(consistency.cr_real > 0) +
           of(consistency.cr_fake > 0) + of(consistency.zcr_d > 0)) +
      g * (1 + interpolated);
  const Passes discriminator{judged + g * of(generator_sees_real()), judged,
                             every(options_.penalty.weight > 0, d, options_.penalty.every)};
  SpreadCost cost;
  const GroupLayout layout{0, context_.micro_batch(), group()};
  const std::int64_t size = static_cast<std::int64_t>(c10::elementSize(context_.dtype));
  for (const Exchange& exchange : generator_->exchanges(layout, ranks)) add(cost, exchange, generator, size);
  for (const Exchange& exchange : discriminator_->exchanges(layout, ranks))
    add(cost, exchange, discriminator, size);
  return cost.cost("batch norm");
}

CollectiveCost AdversarialMethod::logits_cost() const {
  const std::int64_t size = static_cast<std::int64_t>(c10::elementSize(context_.dtype));
  const std::int64_t features = networks_.feature_size();
  const GanLossNeeds needs = loss_.needs();
  SpreadCost cost;
  const auto add = [&](bool wanted, std::int64_t count, std::int64_t bytes, std::int64_t every = 1) {
    if (!wanted) return;
    const double often = static_cast<double>(count) / static_cast<double>(every);
    cost.count += often;
    cost.bytes += often * static_cast<double>(bytes);
  };
  // Forward and backward.
  const std::int64_t d_losses = options_.d_steps * (options_.text.matches(networks_.images()) ? 2 : 1);
  const std::int64_t g_losses = options_.text.interpolation > 0 ? 2 : 1;
  add(needs.means, 2 * context_.accumulate * (d_losses + g_losses), 2 * size);
  add(needs.features, 2 * context_.accumulate * g_losses, context_.micro_batch() * features * size);
  add(options_.feature_matching > 0, 2 * context_.accumulate, 2 * features * size);
  add(options_.top_k.wanted(), context_.accumulate, context_.micro_batch() * size);
  add(lecam_.wanted() || loss_state_.defined() || options_.ada.adapts(), options_.d_steps,
      3 * static_cast<std::int64_t>(sizeof(double)));
  add(options_.path_length.wanted(), 1, static_cast<std::int64_t>(sizeof(double)),
      options_.path_length.every);
  return cost.cost("logits");
}

}  // namespace ganymede
