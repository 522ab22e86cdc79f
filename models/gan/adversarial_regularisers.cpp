#include <ATen/ATen.h>

#include "core/trace_range.h"
#include "models/gan/adversarial.h"
#include "models/gan/adversarial_losses.h"

namespace ganymede {

at::Tensor AdversarialMethod::augmented(const at::Tensor& images, const ImageDraws& draws,
                                        const std::string& side) {
  if (!options_.ada.wanted()) return diff_augment(options_.augment, images, draws, side);
  const AdaDraws own = ada_draws(options_.ada, draws, side, images.sizes().slice(1));
  const std::string player = draws.key.phase.starts_with("generator") ? "generator" : "discriminator";
  show(player + ".ada_uniform_" + side, own.uniform);
  show(player + ".ada_normal_" + side, own.normal);
  if (own.noise.defined()) show(player + ".ada_noise_" + side, own.noise);
  if (side == "real") show(player + ".ada_image_real", images);
  const at::Tensor result = ada_augment(options_.ada, ada_.p(), images, own);
  show(player + ".ada_result_" + side, result);
  return result;
}

at::Tensor AdversarialMethod::penalty_term(const JudgedImages& judged, const ImageDraws& draws,
                                           const ForwardContext& forward, Losses& losses) {
  const double share_of_batch = 1.0 / static_cast<double>(context_.batch);
  const at::Tensor noise = penalty_noise(options_.penalty, judged.real, draws);
  if (noise.defined()) show("discriminator.penalty_noise", noise);
  // As small as the loss's own: a larger one would overflow where the scale has found its place.
  const UpdateGuard& guard = discriminator_player_.guard();
  const at::Tensor inner = guard.scales() ? guard.scale() * share_of_batch : at::Tensor();
  JudgedImages at = judged;
  std::function<at::Tensor(const at::Tensor&)> shown;
  if (options_.ada.wanted() && options_.penalty.kind == "r1") {
    at.real = judged.original;
    shown = [&](const at::Tensor& x) { return augmented(x, draws, "real"); };
  }
  const at::Tensor penalty =
      gradient_penalty(options_.penalty, *discriminator_, at, noise, forward, inner, shown).sum() *
      share_of_batch;
  Losses::add(losses.penalty, penalty);
  show("discriminator.penalty", penalty);
  return penalty * static_cast<double>(options_.penalty.every);
}

void AdversarialMethod::begin_own_update(Player& player, Network& network) {
  for (Player* each : players()) each->keep_buffers();
  network.begin_phase(true);
  player.zero_gradients();
}

void AdversarialMethod::penalise_apart(RandomKey key, const std::vector<Batch>& batches, Losses& losses) {
  const TraceRange range("penalty");
  key.phase = "discriminator penalty";
  begin_own_update(discriminator_player_, *discriminator_);
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const Batch& batch = batches[i];
    context_.note("penalty update");
    const ImageDraws draws = draws_of(key, batch.share, static_cast<std::int64_t>(i));
    if (i + 1 == batches.size()) discriminator_player_.reducer().arm();
    JudgedImages judged;
    judged.original = batch.images;
    if (!options_.ada.wanted()) judged.real = augmented(batch.images, draws, "real");
    judged.real_labels = condition_of(batch);
    discriminator_player_.backward(penalty_term(judged, draws, forward_context(batch.share, draws), losses));
  }
  discriminator_player_.finish_gradients();
  finish_update(discriminator_player_, /*averages_follow=*/false);
  if (options_.weight_clip > 0) discriminator_player_.clamp_weights(options_.weight_clip);
  discriminator_history_.advance();
}

void AdversarialMethod::shorten_paths(std::int64_t step, Losses& losses) {
  const TraceRange range("path length");
  const RandomKey key{.seed = context_.seed,
                      .reseed = context_.reseed,
                      .phase = "path length",
                      .step = static_cast<std::uint64_t>(step)};
  const ImageSpec spec = networks_.images();
  const std::int64_t images = context_.micro_batch() / options_.path_length.shrink;
  const double share_of_batch = 1.0 / static_cast<double>(images * context_.accumulate);
  const Share share = share_of(images, context_.gradients.rank(), context_.gradients.size());
  const UpdateGuard& guard = generator_player_.guard();
  const at::Tensor inner = guard.scales() ? guard.scale() * share_of_batch : at::Tensor();
  auto& generator = dynamic_cast<StyleGenerator&>(*generator_);
  at::Tensor mean = at::zeros({}, path_length_.mean().options());
  begin_own_update(generator_player_, generator);
  for (std::int64_t micro_step = 0; micro_step < context_.accumulate; ++micro_step) {
    context_.note("path length update");
    const ImageDraws draws{key, micro_step * images + share.first, share.count, context_.dtype,
                           context_.device};
    ForwardContext forward = forward_context(share, draws);
    forward.layout = {share.first, images, images};
    const Latents latents = draw_latents(draws);
    const at::Tensor ws = generator.styles(latents.z, latents.labels, forward);
    if (micro_step + 1 == context_.accumulate) generator_player_.reducer().arm();
    if (share.count == 0) continue;  // fewer images than ranks
    const at::Tensor noise = draws.normal("path noise", spec.channels * spec.height * spec.width);
    const at::Tensor lengths = path_lengths(generator, ws, noise, forward, inner);
    const at::Tensor penalty = path_length_.penalty(lengths).sum() * share_of_batch;
    show("generator.path_z", latents.z);
    show("generator.path_labels", latents.labels);
    show("generator.path_noise", noise);
    show("generator.path_mean", path_length_.mean());
    show("generator.path_lengths", lengths);
    show("generator.path_penalty", penalty);
    Losses::add(losses.path_penalty, penalty);
    mean += lengths.detach().sum().to(at::kDouble) * share_of_batch;
    generator_player_.backward(penalty * static_cast<double>(options_.path_length.every));
  }
  generator_player_.finish_gradients();
  finish_update(generator_player_, /*averages_follow=*/false);
  generator_history_.advance();
  Losses::add(losses.path_length, mean.clone());
  context_.batch_norm.all_reduce(mean)->wait();
  const at::Tensor before = path_length_.mean().clone();
  path_length_.advance(mean);
  generator_player_.undo_if_skipped(path_length_.mean(), before);
}

void AdversarialMethod::report_regularisers(const Losses& losses, StepReport& report) const {
  if (losses.path_length.defined()) {
    report.emplace_back("path_length", losses.path_length);
    report.emplace_back("path_penalty", losses.path_penalty.defined() ? losses.path_penalty
                                                                      : at::zeros_like(losses.path_length));
  }
  // One rank's part is all of it.
  if (options_.ada.adapts())
    report.emplace_back("ada_p",
                        context_.gradients.rank() == 0 ? ada_.p().clone() : at::zeros_like(ada_.p()));
}

}  // namespace ganymede
