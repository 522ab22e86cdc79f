#include "models/player.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "core/error.h"

namespace ganymede {

void OptimizerOptions::describe(OptionSchema& schema, const std::string& section) {
  const std::string s = section + ".";
  schema.add(s + "optimizer", optimizer, {"adam", "rmsprop"}, "how weights follow gradients");
  schema.add(s + "lr", lr, "", {0, 10}, "learning rate");
  schema.add(s + "beta1", beta1, "", {0, 0.999999}, "Adam's decay of the first moment, 0 with rmsprop");
  schema.add(s + "beta2", beta2, "", {0, 0.99999999}, "decay of the second moment");
  schema.add(s + "eps", eps, "", {1e-20, 1}, "epsilon beside the second moment's root");
  schema.add(s + "weight_decay", weight_decay, "", {0, 10},
             "each weight is multiplied by 1 - lr times this in an update, as AdamW does it");
  schema.add(s + "warmup", warmup, "updates", {0, 1e9}, "linear warm-up of the learning rate");
  schema.add(s + "decay", decay, {"constant", "linear", "cosine"}, "the learning rate after the warm-up");
  schema.add(s + "decay_from", decay_from, "updates", {0, 1e9}, "where the decay begins");
  schema.add(s + "decay_until", decay_until, "updates", {0, 1e9}, "where the decay ends");
  schema.add(s + "final_factor", final_factor, "", {0, 1}, "learning rate after the decay over lr");
  schema.add(s + "clip", clip, "", {0, 1e9}, "largest global norm of the gradient, 0 for none");
}

void OptimizerOptions::describe_average(OptionSchema& schema, const std::string& section) {
  const std::string s = section + ".";
  schema.add(s + "ema", ema, "", {0, 0.9999999},
             "decay of the moving average of weights and buffers, 0 for none");
  schema.add(s + "ema_start", ema_start, "updates", {0, 1e9}, "updates during which the average is a copy");
  schema.add(s + "ema_ramp", ema_ramp, "", {0, 1e6},
             "the average's half-life over the updates so far, at most; 0 for no such bound");
}

void OptimizerOptions::check(const std::string& section) const {
  if (optimizer == "rmsprop" && beta1 != 0)
    fail(ExitCode::options, "{0}.optimizer = rmsprop has no first moment: set {0}.beta1 = 0 instead of {1}",
         section, beta1);
  if (decay != "constant" && decay_until <= decay_from)
    fail(ExitCode::options,
         "{0}.decay_until = {1} is not after {0}.decay_from = {2}: say where the {3} decay ends", section,
         decay_until, decay_from, decay);
}

std::string OptimizerOptions::warning(const std::string& section, std::int64_t updates) const {
  if (decay == "constant" || final_factor > 0 || updates <= decay_until) return "";
  return fmt::format(
      "{0} learns nothing after update {1} of {2}: its rate is 0 from {0}.decay_until on; raise that, or set "
      "{0}.final_factor",
      section, decay_until, updates);
}

OptimizerOptions OptimizerOptions::with_extra_updates(std::int64_t every) const {
  const double c = static_cast<double>(every) / static_cast<double>(every + 1);
  OptimizerOptions options = *this;
  options.lr *= c;
  options.beta1 = std::pow(beta1, c);
  options.beta2 = std::pow(beta2, c);
  options.extra_every = every;
  return options;
}

double OptimizerOptions::average_decay(std::int64_t update) const {
  if (update <= ema_start) return 0;
  if (ema_ramp == 0) return ema;
  std::int64_t past = update - 1;
  // The first extra update is behind the first of the others.
  if (extra_every > 0) past -= (past + extra_every) / (extra_every + 1);
  return past == 0 ? 0 : std::min(ema, std::exp2(-1 / (ema_ramp * static_cast<double>(past))));
}

NamedTensors parameters_of(const torch::nn::Module& network) {
  NamedTensors tensors;
  for (const auto& item : network.named_parameters()) tensors.emplace_back(item.key(), item.value());
  return tensors;
}

NamedTensors buffers_of(const torch::nn::Module& network) {
  NamedTensors tensors;
  for (const auto& item : network.named_buffers()) tensors.emplace_back(item.key(), item.value());
  return tensors;
}

void copy_tensors(const NamedTensors& from, const NamedTensors& to) {
  const at::NoGradGuard no_grad;
  if (from.size() != to.size()) throw std::logic_error("copy_tensors: different networks");
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (from[i].first != to[i].first)
      throw std::logic_error("copy_tensors: " + from[i].first + ", " + to[i].first);
    to[i].second.copy_(from[i].second);
  }
}

void copy_common(const NamedTensors& from, const NamedTensors& to) {
  const at::NoGradGuard no_grad;
  const std::map<std::string, at::Tensor> known(from.begin(), from.end());
  for (const auto& [name, tensor] : to)
    if (const auto found = known.find(name); found != known.end() && found->second.sizes() == tensor.sizes())
      tensor.copy_(found->second);
}

namespace {

/// Moves tensors into an arena: the same tensor objects, now views of it.
at::Tensor adopt(const NamedTensors& tensors, const ArenaLayout& layout, at::Device device) {
  const at::NoGradGuard no_grad;
  at::Tensor arena = layout.allocate(device);
  const NamedTensors views = layout.views(arena);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    at::Tensor tensor = tensors[i].second;
    views[i].second.copy_(tensor);
    tensor.set_data(views[i].second);
  }
  return arena;
}

}  // namespace

Player::Player(std::string name, std::shared_ptr<torch::nn::Module> network, const OptimizerOptions& options,
               at::ScalarType dtype, at::Device device, Communicator& gradients, std::int64_t bucket_bytes,
               bool scale_loss, bool shard)
    : name_(std::move(name)),
      network_(std::move(network)),
      options_(options),
      schedule_{options.warmup, options.decay, options.decay_from, options.decay_until, options.final_factor},
      weight_layout_(parameters_of(*network_), dtype, shard ? gradients.size() : 1),
      buffer_layout_(buffers_of(*network_), dtype),
      guard_(device, scale_loss),
      communicator_(gradients) {
  const NamedTensors parameters = parameters_of(*network_);
  weight_ = adopt(parameters, weight_layout_, device);
  buffer_ = adopt(buffers_of(*network_), buffer_layout_, device);
  gradient_ = weight_layout_.allocate(device);
  gradient_norm_ = at::zeros({}, gradient_.options());  // of one that does not learn from the first step on
  for (const auto& [parameter_name, parameter] : parameters) {
    parameters_.push_back(parameter);
    parameter_count_ += parameter.numel();
  }
  zero_gradients();
  const bool shared = shard && gradients.size() > 1;
  reducer_ = std::make_unique<GradientReducer>(parameters_, weight_layout_.offsets(), gradient_, gradients,
                                               bucket_bytes, shared);
  if (shared) shards_ = std::make_unique<ArenaShards>(reducer_->buckets(), gradients, device);
  const auto parts = [&](const at::Tensor& tensor) {
    return shards_ ? shards_->parts(tensor) : std::vector{tensor};
  };
  const auto own = [&](const at::Tensor& arena) {
    return shards_ ? shards_->own(arena) : std::vector{arena};
  };
  m_ = at::zeros({shards_ ? shards_->size() : weight_.numel()}, weight_.options());
  v_ = at::zeros_like(m_);
  if (options_.ema > 0) {
    ema_ = at::empty_like(m_);
    ema_buffer_ = buffer_.clone();
  }
  const auto weights = own(weight_), sums = own(gradient_), first = parts(m_), second = parts(v_);
  for (std::size_t i = 0; i < weights.size(); ++i)
    slices_.push_back({weights[i], sums[i], first[i], second[i], {}});
  if (!has_average()) return;
  const auto averages = parts(ema_);
  for (std::size_t i = 0; i < averages.size(); ++i) slices_[i].ema = averages[i];
  reset_average();
}

void Player::zero_gradients() {
  gradient_.zero_();
  const NamedTensors views = weight_layout_.views(gradient_);
  for (std::size_t i = 0; i < parameters_.size(); ++i) parameters_[i].mutable_grad() = views[i].second;
}

double Player::learning_rate() const {
  return options_.lr * schedule_.factor(std::max<std::int64_t>(updates_, 1));
}

void Player::mark_if_not_finite(const at::Tensor& loss) {
  if (gradient_.numel() > 0) gradient_.narrow(0, 0, 1).add_((loss.detach() * 0).to(gradient_.scalar_type()));
}

at::Tensor Player::scaled(const at::Tensor& loss) const {
  return guard_.scales() ? loss * guard_.scale().to(loss.scalar_type()) : loss;
}

void Player::backward(const at::Tensor& loss) {
  mark_if_not_finite(loss);
  scaled(loss).backward();
}

void Player::backward_alone(const at::Tensor& loss) {
  mark_if_not_finite(loss);
  scaled(loss).backward({}, /*retain_graph=*/true, /*create_graph=*/false, parameters_);
}

void Player::finish_gradients() {
  reducer_->finalize();
  // An infinite gradient stays infinite, on every rank.
  if (!guard_.scales()) return;
  for (const Slice& slice : slices_) slice.gradient.mul_(guard_.scale().reciprocal());
}

void Player::keep_buffers() {
  kept_buffer_ = buffer_.clone();
}

void Player::restore_buffers(const Player& updated) {
  updated.undo_if_skipped(buffer_, kept_buffer_);
}

void Player::undo_if_skipped(const at::Tensor& state, const at::Tensor& before) const {
  state.copy_(at::where(guard_.is_skipped(), before, state));
}

at::Tensor Player::gradient_norm_of_all() const {
  if (!shards_) return gradient_.norm();
  at::Tensor square = at::zeros({}, gradient_.options().dtype(at::kDouble));
  for (const Slice& slice : slices_) square.add_(slice.gradient.norm().to(at::kDouble).square());
  communicator_.all_reduce(square)->wait();
  return square.sqrt().to(gradient_.scalar_type());
}

at::Tensor Player::judge_gradients(bool follow) {
  const at::Tensor norm = gradient_norm_of_all();
  const at::Tensor before = gradient_norm_.defined() ? gradient_norm_ : at::zeros_like(norm);
  const at::Tensor finite = norm.isfinite(), hope = guard_.follow(finite);
  const at::Tensor told = at::where(finite.logical_not().logical_and(hope), before, norm);
  // Of a regulariser's own update nothing is told but that it failed.
  gradient_norm_ = follow ? told : at::where(told.isfinite(), before, told);
  return told;
}

void Player::update(bool follow) {
  const at::NoGradGuard no_grad;
  ++updates_;
  const at::Tensor norm = judge_gradients(follow);
  // Without a first moment, and so late that its bias is gone, a step of Adam is one of RMSProp.
  const std::int64_t t = options_.optimizer == "rmsprop" ? std::int64_t{1} << 62 : updates_;
  AdamStep step{learning_rate(), options_.beta1, options_.beta2, options_.eps, t, 1, options_.weight_decay};
  if (options_.clip > 0) {
    // The host does not wait for a GPU's norm.
    if (!gradient_.is_cpu())
      for (const Slice& slice : slices_) slice.gradient.mul_((options_.clip / norm).clamp_max(1));
    else if (const double length = norm.item<double>(); length > options_.clip)
      step.gradient_scale = options_.clip / length;
  }
  const bool averaged = has_average() && follow;
  const double decay = averaged ? options_.average_decay(updates_) : 0;
  if (averaged)
    ema_buffer_.copy_(at::where(guard_.is_skipped(), ema_buffer_, ema_buffer_.lerp(buffer_, 1 - decay)));
  for (std::size_t i = 0; i < slices_.size(); ++i) {
    const Slice& slice = slices_[i];
    std::vector<EmaTarget> averages;
    if (averaged) averages.push_back({slice.ema, decay});
    adam_step(step, slice.weight, slice.gradient, slice.m, slice.v, averages, guard_.gate());
    if (shards_) shards_->begin_gather(weight_, i);
  }
  if (shards_) shards_->finish_gather();
}

void Player::clamp_weights(double bound) {
  const at::NoGradGuard no_grad;
  weight_.copy_(at::where(guard_.is_skipped(), weight_, weight_.clamp(-bound, bound)));
}

void Player::broadcast(Communicator& communicator, int root) {
  for (const Kind& kind : kinds())
    if (!kind.is_sharded && kind.arena.numel() > 0) communicator.broadcast(kind.arena, root)->wait();
  communicator.broadcast(guard_.figures(), root)->wait();
}

void Player::take_over(const Player& before) {
  const std::vector<Kind> theirs = before.kinds();
  for (const Kind& kind : kinds()) {
    const auto same = std::ranges::find(theirs, kind.name, &Kind::name);
    if (same == theirs.end() || kind.name.starts_with("adam_")) continue;
    const NamedTensors from = before.tensors_of(*same, before.whole(*same));
    change_kind(kind, [&](const NamedTensors& to) { copy_common(from, to); });
  }
  copy_common(before.guard_state(), guard_state());
  gradient_norm_ = before.gradient_norm_;
  count_from_zero();
}

void Player::count_from_zero() {
  updates_ = guard_.skipped().item<std::int64_t>();
}

void Player::reset_optimizer() {
  m_.zero_();
  v_.zero_();
  count_from_zero();
}

void Player::reset_average() {
  if (!has_average()) return;
  const at::NoGradGuard no_grad;
  for (const Slice& slice : slices_) slice.ema.copy_(slice.weight);
  ema_buffer_.copy_(buffer_);
}

std::vector<Player::Kind> Player::kinds() const {
  std::vector<Kind> kinds{{"weight", &weight_layout_, weight_},
                          {"buffer", &buffer_layout_, buffer_},
                          {"adam_m", &weight_layout_, m_, is_sharded()},
                          {"adam_v", &weight_layout_, v_, is_sharded()}};
  if (!has_average()) return kinds;
  kinds.push_back({"ema", &weight_layout_, ema_, is_sharded()});
  kinds.push_back({"ema_buffer", &buffer_layout_, ema_buffer_});
  return kinds;
}

NamedTensors Player::tensors_of(const Kind& kind, const at::Tensor& arena) const {
  NamedTensors tensors = kind.layout->views(arena);
  for (auto& [tensor_name, view] : tensors)
    tensor_name = fmt::format("{}/{}/{}", name_, kind.name, tensor_name);
  return tensors;
}

NamedTensors Player::guard_state() const {
  NamedTensors state;
  for (const auto& [figure, view] : guard_.state())
    state.emplace_back(fmt::format("{}/guard/{}", name_, figure), view);
  return state;
}

NamedTensors Player::state() const {
  NamedTensors state;
  for (const Kind& kind : kinds())
    for (auto& item : tensors_of(kind, kind.is_sharded ? at::empty_like(weight_, at::kMeta) : kind.arena))
      state.push_back(std::move(item));
  for (auto& item : guard_state()) state.push_back(std::move(item));
  return state;
}

at::Tensor Player::whole(const Kind& kind) const {
  return kind.is_sharded ? shards_->gathered(kind.arena) : kind.arena;
}

void Player::visit_state(const Visitor& see) const {
  for (const Kind& kind : kinds()) see(tensors_of(kind, whole(kind)));
  see(guard_state());
}

void Player::fill_state(Communicator& communicator, int root, const Visitor& fill) {
  const at::NoGradGuard no_grad;
  for (const Kind& kind : kinds()) {
    const at::Tensor arena = whole(kind);
    if (communicator.rank() == root) fill(tensors_of(kind, arena));
    if (arena.numel() > 0) communicator.broadcast(arena, root)->wait();
    if (kind.is_sharded) shards_->take(arena, kind.arena);
  }
  if (communicator.rank() == root) fill(guard_state());
  communicator.broadcast(guard_.figures(), root)->wait();
}

void Player::change_kind(const Kind& kind, const Visitor& change) {
  const at::NoGradGuard no_grad;
  const at::Tensor arena = kind.is_sharded ? shards_->alone(kind.arena) : kind.arena;
  change(tensors_of(kind, arena));
  if (kind.is_sharded) shards_->take(arena, kind.arena);
}

void Player::change_state(const Visitor& change) {
  for (const Kind& kind : kinds()) change_kind(kind, change);
  change(guard_state());
}

NamedTensors Player::weights(bool average) const {
  const at::Tensor averages = average && shards_ ? shards_->gathered(ema_) : ema_;
  return weight_layout_.views(average ? averages : weight_);
}
NamedTensors Player::buffers(bool average) const {
  return buffer_layout_.views(average ? ema_buffer_ : buffer_);
}

GradientReducer::Traffic Player::traffic() const {
  GradientReducer::Traffic sum = reducer_->traffic();
  if (!shards_) return sum;
  const GradientReducer::Traffic weights = shards_->traffic();
  sum.collectives += weights.collectives;
  sum.bytes += weights.bytes;
  sum.seconds += weights.seconds;
  sum.exposed += weights.exposed;
  return sum;
}

std::int64_t Player::memory_bytes() const {
  std::int64_t bytes = 0;
  for (const at::Tensor& arena : {weight_, gradient_, m_, v_, ema_, buffer_, ema_buffer_})
    if (arena.defined()) bytes += static_cast<std::int64_t>(arena.nbytes());
  return bytes;
}

}  // namespace ganymede
