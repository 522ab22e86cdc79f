#include "models/gan/adversarial.h"

#include <ATen/ATen.h>

#include "core/device.h"
#include "core/trace_range.h"
#include "models/gan/adversarial_losses.h"
#include "models/gan/frozen.h"
#include "models/gan/gan_sampler.h"
#include "models/gan/headed_discriminator.h"
#include "models/gan/regularisers/feature_matching.h"
#include "models/gan/regularisers/orthogonal.h"
#include "models/layers/initialise.h"

namespace ganymede {

AdversarialMethod::AdversarialMethod(const GanNetworks& networks, const GanLoss& loss,
                                     const GanAuxiliary* auxiliary, const AdversarialOptions& options,
                                     const MethodContext& context)
    : networks_(networks),
      options_(options),
      context_(context),
      loss_(loss),
      loss_state_(loss.initial_state()),
      auxiliary_(auxiliary, context.batch),
      lecam_(options.lecam, context.device),
      ada_(options.ada, context.device),
      path_length_(options.path_length, context.device),
      generator_(networks.generator()),
      discriminator_(make_discriminator(networks, auxiliary)),
      generator_player_("generator", generator_, options.generator_optimizer(), context.dtype, context.device,
                        context.gradients, context.bucket_bytes, context.scale_loss(),
                        context.shard_optimizer),
      discriminator_player_("discriminator", discriminator_, options.discriminator_optimizer(), context.dtype,
                            context.device, context.gradients, context.bucket_bytes, context.scale_loss(),
                            context.shard_optimizer),
      generator_history_(generator_player_, options.historical_average),
      discriminator_history_(discriminator_player_, options.historical_average) {
  if (loss_state_.defined()) loss_state_ = loss_state_.to(context.device);
}

void AdversarialMethod::initialise() {
  ganymede::initialise(*generator_, networks_.initialisation(), context_.seed);
  ganymede::initialise(*discriminator_, networks_.initialisation(), context_.seed);
  generator_player_.reset_average();
  discriminator_player_.reset_average();
  generator_history_.reset();
  discriminator_history_.reset();
  lecam_.anchors().zero_();
  ada_.reset();
  path_length_.mean().zero_();
  if (loss_state_.defined()) loss_state_.copy_(loss_.initial_state());
}

void AdversarialMethod::set_growth(const GrowthState& growth) {
  enlarge_ = growth.enlarge;
  fade_ = growth.alpha < 1
              ? at::full({}, growth.alpha, at::TensorOptions(context_.dtype).device(context_.device))
              : at::Tensor();
}

void AdversarialMethod::take_over(AdversarialMethod& before) {
  copy_common(before.state(), state());
  for (std::size_t i = 0; i < players().size(); ++i) players()[i]->take_over(*before.players()[i]);
}

NamedTensors AdversarialMethod::state() const {
  NamedTensors state = generator_history_.state();
  for (const auto& item : discriminator_history_.state()) state.push_back(item);
  if (lecam_.wanted()) state.emplace_back("adversarial/lecam/anchors", lecam_.anchors());
  if (options_.ada.adapts()) state.emplace_back("adversarial/ada/memory", ada_.memory());
  if (options_.path_length.wanted()) state.emplace_back("adversarial/path_length/mean", path_length_.mean());
  if (loss_state_.defined()) state.emplace_back("adversarial/loss/" + options_.loss, loss_state_);
  return state;
}

ImageDraws AdversarialMethod::draws_of(const RandomKey& key, const Share& share,
                                       std::int64_t micro_step) const {
  return {key, micro_step * context_.micro_batch() + share.first, share.count, context_.dtype,
          context_.device};
}

AdversarialMethod::Latents AdversarialMethod::draw_latents(const ImageDraws& draws) const {
  return {auxiliary_.codes().drawn(draws.normal("z", generator_->latent_size()), draws),
          draws.integers("label", networks_.images().classes)};
}

at::Tensor AdversarialMethod::as_condition(const at::Tensor& embeddings) const {
  return to_device(embeddings, context_.device).to(context_.dtype);
}

at::Tensor AdversarialMethod::condition_of(const Batch& batch) const {
  return follows_text() ? as_condition(batch.embeddings) : batch.labels.clamp_min(0);
}

std::int64_t AdversarialMethod::group() const {
  return options_.batch_norm_group > 0 ? options_.batch_norm_group : context_.micro_batch();
}

ForwardContext AdversarialMethod::forward_context(const Share& share, const ImageDraws& draws) const {
  ForwardContext context{context_.batch_norm,
                         {share.first, context_.micro_batch(), group()},
                         BatchNormMode::train,
                         context_.activations};
  context.fade = fade_;
  context.noise = NoiseSource{draws.key, draws.first};
  return context;
}

void AdversarialMethod::begin_update(Player& player) {
  for (Player* each : players()) each->keep_buffers();
  generator_->begin_phase(true);
  discriminator_->begin_phase(true);
  player.zero_gradients();
}

void AdversarialMethod::finish_update(Player& player, bool averages_follow) {
  show_gradients(player);
  player.update(averages_follow);
  for (Player* each : players()) each->restore_buffers(player);
}

void AdversarialMethod::update_discriminator(std::int64_t step, std::int64_t sub_step, const NextBatch& next,
                                             Losses& losses) {
  const TraceRange range("discriminator");
  const RandomKey key{.seed = context_.seed,
                      .reseed = context_.reseed,
                      .phase = "discriminator",
                      .step = static_cast<std::uint64_t>(step),
                      .sub_step = static_cast<std::uint64_t>(sub_step)};
  const std::int64_t update = (step - 1) * options_.d_steps + sub_step;
  const double share_of_batch = 1.0 / static_cast<double>(context_.batch);
  at::Tensor logit_sums;
  std::vector<Batch> penalised;
  const bool matches = options_.text.matches(networks_.images());
  texts_.clear();
  begin_update(discriminator_player_);
  if (options_.penalty.due(update)) ++losses.penalised;
  for (std::int64_t micro_step = 0; micro_step < context_.accumulate; ++micro_step) {
    const Batch batch = next();
    if (options_.penalty.due_apart(update)) penalised.push_back(batch);
    context_.note("discriminator update");
    const at::Tensor labels = condition_of(batch);
    const ImageDraws draws = draws_of(key, batch.share, micro_step);
    Latents latents = draw_latents(draws);
    if (follows_text()) {
      latents.labels = labels;
      texts_.push_back({labels, as_condition(batch.other_embeddings)});
    }
    const ForwardContext forward = forward_context(batch.share, draws);
    const at::Tensor real = augmented(batch.images, draws, "real");
    at::Tensor fake, changed_fake;
    {
      const at::NoGradGuard no_grad;
      fake = generate(latents.z, latents.labels, draws, forward);
      if (options_.consistency.zcr_d > 0) {
        const at::Tensor changed_z = consistent_latent(options_.consistency, latents.z, draws);
        show("discriminator.changed_z", changed_z);
        changed_fake = generate(changed_z, latents.labels, draws, forward);
      }
    }
    if (micro_step + 1 == context_.accumulate) discriminator_player_.reducer().arm();
    ForwardContext both = forward;
    std::vector<at::Tensor> shown{real, fake}, told{labels, latents.labels};
    if (matches) {
      shown.push_back(real);
      told.push_back(texts_.back().other);
    }
    both.parts = std::ssize(shown);
    at::Tensor outputs;
    both.outputs = &outputs;
    const at::Tensor logits = discriminator_->forward(at::cat(shown), at::cat(told), both);
    const std::int64_t count = batch.share.count;
    const at::Tensor real_logits = logits.narrow(0, 0, count), fake_logits = logits.narrow(0, count, count);
    const auto against = [&](const at::Tensor& wrong) {
      return loss_.discriminator({real_logits, wrong, {}, loss_state_, context_.batch_norm, forward.layout});
    };
    at::Tensor each = against(fake_logits);
    if (matches) each = (each + against(logits.narrow(0, 2 * count, count))) / 2;
    at::Tensor loss = each.sum() * share_of_batch;
    Losses::add(losses.discriminator, loss);
    Losses::add(losses.real_logit, real_logits.sum() * share_of_batch);
    Losses::add(losses.fake_logit, fake_logits.sum() * share_of_batch);
    Losses::add(logit_sums, at::stack({real_logits.sum(), fake_logits.sum(), real_logits.sign().sum()}));
    show("discriminator.real", real);
    show("discriminator.labels", labels);
    show("discriminator.z", latents.z);
    show("discriminator.fake_labels", latents.labels);
    if (follows_text()) show("discriminator.other_labels", texts_.back().other);
    show("discriminator.fake", fake);
    show("discriminator.logits", logits);
    const JudgedImages judged{real, fake, labels, latents.labels, real_logits, fake_logits, batch.images};
    loss = loss + discriminator_terms(update, judged, changed_fake, draws, forward, losses);
    loss = auxiliary_.discriminator(loss, outputs, labels, latents.labels, latents.z);
    show("discriminator.loss", loss);
    discriminator_player_.backward(loss);
  }
  discriminator_player_.finish_gradients();
  discriminator_history_.add_gradient();
  finish_update(discriminator_player_);
  if (options_.weight_clip > 0) discriminator_player_.clamp_weights(options_.weight_clip);
  discriminator_history_.advance();
  follow_logits(update, logit_sums);
  if (!penalised.empty()) penalise_apart(key, penalised, losses);
}

at::Tensor AdversarialMethod::discriminator_terms(std::int64_t update, const JudgedImages& judged,
                                                  const at::Tensor& changed_fake, const ImageDraws& draws,
                                                  const ForwardContext& forward, Losses& losses) {
  const double share_of_batch = 1.0 / static_cast<double>(context_.batch);
  at::Tensor sum = at::zeros({}, judged.real_logits.options());
  const auto regularise = [&](const at::Tensor& each) {
    const at::Tensor part = each.sum() * share_of_batch;
    Losses::add(losses.regularisers, part);
    sum = sum + part;
  };
  if (options_.drift > 0) regularise(options_.drift * judged.real_logits.square());
  if (lecam_.due(update)) regularise(lecam_.penalty(judged.real_logits, judged.fake_logits));
  if (options_.consistency.for_discriminator()) {
    if (observe) {
      show("discriminator.moved_real", consistent_image(judged.real, draws, "real"));
      show("discriminator.moved_fake", consistent_image(judged.fake, draws, "fake"));
    }
    regularise(
        consistency_penalty(options_.consistency, *discriminator_, judged, changed_fake, draws, forward));
  }
  const bool due = options_.penalty.due(update) && !options_.penalty.apart;
  return due ? sum + penalty_term(judged, draws, forward, losses) : sum;
}

at::Tensor AdversarialMethod::generate(const at::Tensor& z, const at::Tensor& labels, const ImageDraws& draws,
                                       const ForwardContext& forward) {
  return augmented(generator_->forward(z, labels, forward), draws, "fake");
}

at::Tensor AdversarialMethod::judge_real(const Batch& batch, const ImageDraws& draws,
                                         const ForwardContext& forward) {
  const at::NoGradGuard no_grad;
  return discriminator_->forward(augmented(batch.images, draws, "real"), condition_of(batch), forward);
}

void AdversarialMethod::follow_logits(std::int64_t update, at::Tensor sums) {
  if (!lecam_.wanted() && !loss_state_.defined() && !options_.ada.adapts()) return;
  context_.batch_norm.all_reduce(sums)->wait();
  const at::Tensor means = sums.narrow(0, 0, 2) / static_cast<double>(context_.batch);
  const auto follow = [&](const at::Tensor& memory, const auto& advance) {
    const at::Tensor before = memory.clone();
    advance();
    discriminator_player_.undo_if_skipped(memory, before);
  };
  if (lecam_.wanted()) follow(lecam_.anchors(), [&] { lecam_.advance(update, means); });
  if (loss_state_.defined()) follow(loss_state_, [&] { loss_.advance(loss_state_, means); });
  if (options_.ada.adapts()) follow(ada_.memory(), [&] { ada_.advance(update, sums[2], context_.batch); });
}

void AdversarialMethod::update_generator(std::int64_t step, const NextBatch& next, Losses& losses) {
  const TraceRange range("generator");
  const RandomKey key{.seed = context_.seed,
                      .reseed = context_.reseed,
                      .phase = "generator",
                      .step = static_cast<std::uint64_t>(step)};
  const double share_of_batch = 1.0 / static_cast<double>(context_.batch);
  const Share share = share_of(context_.micro_batch(), context_.gradients.rank(), context_.gradients.size());
  const Frozen frozen(*discriminator_);
  begin_update(generator_player_);
  for (std::int64_t micro_step = 0; micro_step < context_.accumulate; ++micro_step) {
    const std::optional<Batch> batch = generator_sees_real() ? std::optional(next()) : std::nullopt;
    context_.note("generator update");
    const ImageDraws draws = draws_of(key, share, micro_step);
    Latents latents = draw_latents(draws);
    if (follows_text()) latents.labels = texts_[static_cast<std::size_t>(micro_step)].own;
    const ForwardContext forward = forward_context(share, draws);
    if (micro_step + 1 == context_.accumulate) generator_player_.reducer().arm();
    const at::Tensor fake = generate(latents.z, latents.labels, draws, forward);
    at::Tensor fake_features, outputs, real_features, real_logits;
    ForwardContext judging = forward;
    judging.features = &fake_features;
    judging.outputs = &outputs;
    const at::Tensor logits = discriminator_->forward(fake, latents.labels, judging);
    judging.features = &real_features;
    judging.outputs = nullptr;
    if (batch) {
      real_logits = judge_real(*batch, draws, judging);
      show("generator.real", batch->images);
      show("generator.real_labels", condition_of(*batch));
    }
    at::Tensor each = options_.feature_matching > 0
                          ? options_.feature_matching * feature_matching(real_features, fake_features,
                                                                         forward.layout, context_.batch_norm)
                          : loss_.generator({real_logits, logits, fake_features, loss_state_,
                                             context_.batch_norm, forward.layout});
    if (options_.top_k.wanted())
      each = each * top_k_weights(logits, options_.top_k.k(step, context_.micro_batch()), forward.layout,
                                  context_.batch_norm);
    at::Tensor loss = each.sum() * share_of_batch;
    if (options_.text.interpolation > 0)
      loss = loss + interpolated_loss(latents.z, texts_[static_cast<std::size_t>(micro_step)], real_logits,
                                      draws, forward);
    Losses::add(losses.generator, loss);
    show("generator.z", latents.z);
    show("generator.labels", latents.labels);
    show("generator.fake", fake);
    show("generator.logits", logits);
    if (options_.consistency.zcr_g > 0) {
      const at::Tensor changed_z = consistent_latent(options_.consistency, latents.z, draws);
      show("generator.changed_z", changed_z);
      const at::Tensor changed = generate(changed_z, latents.labels, draws, forward);
      const at::Tensor part =
          (fake - changed).square().flatten(1).mean(1).sum() * (-options_.consistency.zcr_g * share_of_batch);
      Losses::add(losses.regularisers, part * static_cast<double>(options_.d_steps));
      loss = loss + part;
    }
    loss = auxiliary_.generator(loss, outputs, latents.labels, latents.z);
    show("generator.loss", loss);
    generator_player_.backward(loss);
  }
  generator_player_.finish_gradients();
  add_orthogonal_gradient(*generator_, options_.orthogonal);
  generator_history_.add_gradient();
  finish_update(generator_player_);
  generator_history_.advance();
}

at::Tensor AdversarialMethod::interpolated_loss(const at::Tensor& z, const Texts& texts,
                                                const at::Tensor& real_logits, const ImageDraws& draws,
                                                const ForwardContext& forward) {
  const at::Tensor between =
      options_.text.interpolation * texts.own + (1 - options_.text.interpolation) * texts.other;
  at::Tensor features;
  ForwardContext judging = forward;
  judging.features = &features;
  const at::Tensor logits = discriminator_->forward(generate(z, between, draws, forward), between, judging);
  const at::Tensor each =
      loss_.generator({real_logits, logits, features, loss_state_, context_.batch_norm, forward.layout});
  return each.sum() / static_cast<double>(context_.batch);
}

void AdversarialMethod::show_gradients(const Player& player) const {
  if (!observe) return;
  for (const auto& [name, gradient] : player.gradients()) show(player.name() + ".gradient." + name, gradient);
}

StepReport AdversarialMethod::step(std::int64_t step, const NextBatch& next) {
  Losses losses;
  for (std::int64_t sub_step = 0; sub_step < options_.d_steps; ++sub_step)
    update_discriminator(step, sub_step, next, losses);
  update_generator(step, next, losses);
  if (options_.path_length.due(step)) shorten_paths(step, losses);
  const double updates = static_cast<double>(options_.d_steps);
  StepReport report{{"loss_d", losses.discriminator / updates},
                    {"loss_g", losses.generator},
                    {"real_logit", losses.real_logit / updates},
                    {"fake_logit", losses.fake_logit / updates}};
  if (losses.regularisers.defined()) report.emplace_back("regularisers", losses.regularisers / updates);
  if (losses.penalised > 0)
    report.emplace_back("penalty", losses.penalty / static_cast<double>(losses.penalised));
  auxiliary_.report(report, options_.d_steps);
  report_regularisers(losses, report);
  return report;
}

std::unique_ptr<Sampler> AdversarialMethod::sampler(const SampleOptions& options) {
  const bool average = options.ema && generator_player_.has_average();
  auto network = networks_.generator();
  network->to(context_.device, context_.dtype);
  copy_tensors(generator_player_.weights(average), parameters_of(*network));
  copy_tensors(generator_player_.buffers(average), buffers_of(*network));
  return std::make_unique<GanSampler>(
      std::move(network), options,
      GanSampler::Setting{group(), options_.standing_passes, networks_.images().classes, context_.dtype,
                          context_.device, context_.alive, auxiliary_.codes(), fade_, enlarge_,
                          follows_text()},
      context_.batch_norm);
}

}  // namespace ganymede
