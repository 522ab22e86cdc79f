#include "models/player.h"

#include <ATen/ATen.h>

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
               bool scale_loss)
    : name_(std::move(name)),
      network_(std::move(network)),
      options_(options),
      schedule_{options.warmup, options.decay, options.decay_from, options.decay_until, options.final_factor},
      weight_layout_(parameters_of(*network_), dtype),
      buffer_layout_(buffers_of(*network_), dtype) {
  const NamedTensors parameters = parameters_of(*network_);
  weight_ = adopt(parameters, weight_layout_, device);
  buffer_ = adopt(buffers_of(*network_), buffer_layout_, device);
  gradient_ = weight_layout_.allocate(device);
  m_ = weight_layout_.allocate(device);
  v_ = weight_layout_.allocate(device);
  if (options_.ema > 0) {
    ema_ = weight_.clone();
    ema_buffer_ = buffer_.clone();
  }
  if (scale_loss) scale_.emplace(device);
  gradient_norm_ = at::zeros({}, gradient_.options());  // of one that does not learn from the first step on
  for (const auto& [parameter_name, parameter] : parameters) {
    parameters_.push_back(parameter);
    parameter_count_ += parameter.numel();
  }
  zero_gradients();
  reducer_ = std::make_unique<GradientReducer>(parameters_, weight_layout_.offsets(), gradient_, gradients,
                                               bucket_bytes);
}

void Player::zero_gradients() {
  gradient_.zero_();
  const NamedTensors views = weight_layout_.views(gradient_);
  for (std::size_t i = 0; i < parameters_.size(); ++i) parameters_[i].mutable_grad() = views[i].second;
}

double Player::learning_rate() const {
  return options_.lr * schedule_.factor(std::max<std::int64_t>(updates_, 1));
}

at::Tensor Player::scaled(const at::Tensor& loss) const {
  return scale_ ? loss * scale_->scale().to(loss.scalar_type()) : loss;
}

void Player::backward(const at::Tensor& loss) {
  scaled(loss).backward();
}

void Player::backward_alone(const at::Tensor& loss) {
  scaled(loss).backward({}, /*retain_graph=*/true, /*create_graph=*/false, parameters_);
}

void Player::finish_gradients() {
  reducer_->finalize();
  // An infinite gradient stays infinite, on every rank.
  if (scale_) gradient_.mul_(scale_->scale().reciprocal());
}

void Player::keep_buffers() {
  if (scale_) kept_buffer_ = buffer_.clone();
}

void Player::restore_buffers(const Player& updated) {
  updated.undo_if_skipped(buffer_, kept_buffer_);
}

void Player::undo_if_skipped(const at::Tensor& state, const at::Tensor& before) const {
  if (scale_) state.copy_(at::where(scale_->is_skipped(), before, state));
}

at::Tensor Player::judge_gradients(bool follow) {
  const at::Tensor norm = gradient_.norm();
  const at::Tensor before = gradient_norm_.defined() ? gradient_norm_ : at::zeros_like(norm);
  at::Tensor told = norm;
  if (scale_) {
    const at::Tensor finite = norm.isfinite(), hopeless = scale_->scale().le(LossScale::least);
    told = at::where(finite.logical_or(hopeless), norm, before);
    scale_->follow(finite);
  }
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
  AdamStep step{learning_rate(), options_.beta1, options_.beta2, options_.eps, t, 1};
  if (options_.clip > 0) {
    // The host does not wait for a GPU's norm.
    if (!gradient_.is_cpu())
      gradient_.mul_((options_.clip / norm).clamp_max(1));
    else if (const double length = norm.item<double>(); length > options_.clip)
      step.gradient_scale = options_.clip / length;
  }
  std::vector<EmaTarget> averages;
  if (has_average() && follow) {
    const double decay = options_.average_decay(updates_);
    averages.push_back({ema_, decay});
    if (scale_)
      ema_buffer_.copy_(at::where(scale_->is_skipped(), ema_buffer_, ema_buffer_.lerp(buffer_, 1 - decay)));
    else
      ema_buffer_.lerp_(buffer_, 1 - decay);
  }
  adam_step(step, weight_, gradient_, m_, v_, averages, scale_ ? scale_->gate() : at::Tensor());
}

void Player::clamp_weights(double bound) {
  const at::NoGradGuard no_grad;
  const at::Tensor before = scale_ ? weight_.clone() : at::Tensor();
  weight_.clamp_(-bound, bound);
  undo_if_skipped(weight_, before);
}

void Player::broadcast(Communicator& communicator, int root) {
  const at::Tensor figures = scale_ ? scale_->figures() : at::Tensor();
  for (const at::Tensor& arena : {weight_, m_, v_, buffer_, ema_, ema_buffer_, figures})
    if (arena.defined() && arena.numel() > 0) communicator.broadcast(arena, root)->wait();
}

void Player::take_over(const Player& before) {
  const auto is_moment = [&](const auto& item) { return item.first.starts_with(name_ + "/adam_"); };
  NamedTensors theirs = before.state();
  std::erase_if(theirs, is_moment);
  copy_common(theirs, state());
  gradient_norm_ = before.gradient_norm_;
  count_from_zero();
}

void Player::count_from_zero() {
  updates_ = scale_ ? scale_->skipped().item<std::int64_t>() : 0;
}

void Player::reset_optimizer() {
  for (const at::Tensor& moments : {m_, v_})
    if (moments.defined()) moments.zero_();
  count_from_zero();
}

void Player::reset_average() {
  if (!has_average()) return;
  ema_.copy_(weight_);
  ema_buffer_.copy_(buffer_);
}

NamedTensors Player::state() const {
  NamedTensors state;
  const auto add = [&](const char* kind, const ArenaLayout& layout, const at::Tensor& arena) {
    if (!arena.defined()) return;
    for (const auto& [tensor_name, view] : layout.views(arena))
      state.emplace_back(fmt::format("{}/{}/{}", name_, kind, tensor_name), view);
  };
  add("weight", weight_layout_, weight_);
  add("buffer", buffer_layout_, buffer_);
  add("adam_m", weight_layout_, m_);
  add("adam_v", weight_layout_, v_);
  add("ema", weight_layout_, ema_);
  add("ema_buffer", buffer_layout_, ema_buffer_);
  if (scale_)
    for (const auto& [figure, view] : scale_->state())
      state.emplace_back(fmt::format("{}/loss_scale/{}", name_, figure), view);
  return state;
}

NamedTensors Player::weights(bool average) const {
  return weight_layout_.views(average ? ema_ : weight_);
}
NamedTensors Player::buffers(bool average) const {
  return buffer_layout_.views(average ? ema_buffer_ : buffer_);
}

std::int64_t Player::memory_bytes() const {
  std::int64_t bytes = 0;
  for (const at::Tensor& arena : {weight_, gradient_, m_, v_, ema_, buffer_, ema_buffer_})
    if (arena.defined()) bytes += static_cast<std::int64_t>(arena.nbytes());
  return bytes;
}

}  // namespace ganymede
