#include "models/first_stages/autoencoder_method.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/trace_range.h"
#include "models/first_stages/reconstruction_sampler.h"
#include "models/gan/frozen.h"
#include "models/gan/image_draws.h"
#include "models/layers/initialise.h"
#include "models/translation/translation_options.h"

namespace ganymede {
namespace {

constexpr const char* codes_name = "quantize.embedding.weight";

}  // namespace

AutoencoderMethod::AutoencoderMethod(const AutoencoderMethodOptions& options, const GanLoss& loss,
                                     const MethodContext& context)
    : options_(options),
      context_(context),
      loss_(loss, context.batch_norm),
      distance_(options.reconstruction, context.device),
      network_(std::make_shared<Autoencoder>(options.network)),
      discriminator_(std::make_shared<PatchDiscriminator>(options.judge())),
      player_("autoencoder", network_, options.autoencoder, context.dtype, context.device, context.gradients,
              context.bucket_bytes, context.scale_loss(), context.shard_optimizer),
      discriminator_player_("discriminator", discriminator_, options.discriminator, context.dtype,
                            context.device, context.gradients, context.bucket_bytes, context.scale_loss(),
                            context.shard_optimizer) {
  if (options.network.quantises()) usage_.emplace(options.network.codes, context.device);
}

void AutoencoderMethod::initialise() {
  network_->initialise(context_.seed);
  ganymede::initialise(*discriminator_, "n02", context_.seed);
  player_.reset_average();
}

NamedTensors AutoencoderMethod::state() const {
  if (!usage_) return {};
  return {{"codebook/state/counts", usage_->counts()}};
}

std::vector<CollectiveCost> AutoencoderMethod::costs_per_step(int ranks) const {
  const std::int64_t size = static_cast<std::int64_t>(c10::elementSize(context_.dtype));
  const GroupLayout layout{0, context_.micro_batch(), context_.micro_batch()};
  const std::int64_t passes =
      3 * context_.accumulate;  // of D: fake in the autoencoder's update; real and fake
  CollectiveCost norms{"batch norm", 0, 0};
  for (const Exchange& exchange : discriminator_->exchanges(layout, ranks)) {
    norms.count += 2 * passes;
    norms.bytes += exchange.numbers * passes * (static_cast<std::int64_t>(sizeof(double)) + size);
  }
  std::vector<CollectiveCost> costs;
  for (const Player* player : {&player_, &discriminator_player_}) add_update_costs(costs, *player);
  costs.push_back(norms);
  costs.push_back({"adaptive weight", 1, 2 * size * network_->last_weight().numel()});
  if (!usage_) return costs;
  const std::int64_t codes = options_.network.codes, every = options_.restart_every;
  costs.push_back({"codes", 1, codes * static_cast<std::int64_t>(sizeof(double))});
  if (every > 0) {
    costs.back().count += every == 1 ? 1 : 0;  // else less than one a step
    costs.back().bytes += codes * options_.network.latent_channels * size / every;
  }
  return costs;
}

AutoencoderMethod::Seen AutoencoderMethod::seen(const Batch& batch, std::int64_t micro_step) const {
  return {batch.images,
          micro_step * context_.micro_batch() + batch.share.first,
          {context_.batch_norm,
           {batch.share.first, context_.micro_batch(), context_.micro_batch()},
           BatchNormMode::train,
           context_.activations}};
}

AutoencoderMethod::Pass AutoencoderMethod::run(const Seen& seen, std::int64_t step, bool with_graph,
                                               StepSums* sums) {
  Pass pass;
  at::Tensor h;
  {
    const at::AutoGradMode graph(with_graph);
    const at::Tensor moments = network_->encode(seen.images, context_.activations);
    at::Tensor z;
    if (usage_) {
      pass.vectors = moments.detach();
      pass.indices = network_->codebook().nearest(moments);
      const at::Tensor codes = network_->codebook().vectors(pass.indices);
      const auto mean = [&](const at::Tensor& a, const at::Tensor& b) {
        return (a - b).square().flatten(1).mean(1).sum() * share_of_batch();
      };
      const at::Tensor commitment = mean(moments, codes.detach()), codebook = mean(codes, moments.detach());
      pass.regulariser = options_.commitment * commitment + options_.codebook * codebook;
      z = moments + (codes - moments).detach();
      if (sums) sums->add("commitment", commitment);
    } else {
      const LatentMoments posterior(moments);
      const ImageDraws draws{{.seed = context_.seed,
                              .reseed = context_.reseed,
                              .phase = "autoencoder",
                              .step = static_cast<std::uint64_t>(step)},
                             seen.first,
                             seen.images.size(0),
                             context_.dtype,
                             context_.device};
      const at::Tensor& mean = posterior.mean;
      const at::Tensor eps = draws.normal("posterior", mean.numel() / mean.size(0)).view(mean.sizes());
      const at::Tensor divergence = posterior.divergence().sum() * share_of_batch();
      pass.regulariser = options_.kl * divergence;
      z = posterior.drawn(eps);
      if (sums) sums->add("kl", divergence);
      if (sums) show("autoencoder.eps", eps);
    }
    h = network_->before_last_layer(z, context_.activations);
  }
  // With its graph in any case: the adaptive weight asks for the last layer's gradient.
  pass.reconstruction = network_->last_layer(h);
  return pass;
}

AutoencoderMethod::Slopes AutoencoderMethod::slopes(const Seen& seen, const at::Tensor& reconstruction,
                                                    bool adversarial, StepSums& sums) {
  const at::Tensor y = reconstruction.detach().requires_grad_();
  const at::Tensor& x = seen.images;
  const at::Tensor distance = distance_(x, y).sum() * share_of_batch();
  sums.add("reconstruction", distance);
  // As published: of "kl" the sum over an image's pixels, of "vq" their mean.
  const double scale =
      options_.network.quantises() ? 1 : static_cast<double>(x.numel()) / static_cast<double>(x.size(0));
  Slopes slopes{torch::autograd::grad({distance * scale}, {y}).at(0), {}};
  if (!adversarial) return slopes;
  const at::Tensor logits = discriminator_->forward(y, seen.forward);
  const at::Tensor loss = loss_.generator(logits, seen.forward.layout).sum() * share_of_batch();
  sums.add("loss_g", loss);
  slopes.adversarial = torch::autograd::grad({loss}, {y}).at(0);
  return slopes;
}

at::Tensor AutoencoderMethod::adaptive_weight(const at::Tensor& of_distance,
                                              const at::Tensor& of_adversarial) {
  at::Tensor both = at::stack({of_distance.flatten(), of_adversarial.flatten()});
  context_.batch_norm.all_reduce(both)->wait();
  const at::Tensor ratio = both[0].norm() / (both[1].norm() + 1e-4);
  return options_.adversarial * ratio.clamp(0, options_.most_adaptive);
}

void AutoencoderMethod::update_autoencoder(std::int64_t step, bool adversarial,
                                           const std::vector<Seen>& batches, std::vector<at::Tensor>& fakes,
                                           StepSums& sums) {
  const TraceRange range("autoencoder");
  const Frozen frozen(*discriminator_);
  for (Player* player : players()) player->keep_buffers();
  begin_phase(*network_, true);
  discriminator_->begin_phase(true);
  player_.zero_gradients();
  // The adaptive weight is known after all micro-batches: of several each is run once more, with its graph.
  const bool again = adversarial && batches.size() > 1;
  std::vector<Pass> passes;
  std::vector<Slopes> all;
  at::Tensor of_distance, of_adversarial;
  const auto add = [](at::Tensor& sum, const at::Tensor& part) { sum = sum.defined() ? sum + part : part; };
  at::Tensor lambda;
  if (adversarial) {
    for (const Seen& seen : batches) {
      context_.note("autoencoder update");
      passes.push_back(run(seen, step, !again, &sums));
      const at::Tensor& y = passes.back().reconstruction;
      all.push_back(slopes(seen, y, true, sums));
      const auto of_last_weight = [&](const at::Tensor& slope) {
        return torch::autograd::grad({y}, {network_->last_weight()}, {slope}, /*retain_graph=*/true).at(0);
      };
      add(of_distance, of_last_weight(all.back().distance));
      add(of_adversarial, of_last_weight(all.back().adversarial));
      if (again) passes.back().reconstruction = y.detach();
    }
    lambda = adaptive_weight(of_distance, of_adversarial);
    show("autoencoder.lambda", lambda);
    sums.add("lambda", lambda / static_cast<double>(context_.batch_norm.size()));
  }
  for (std::size_t i = 0; i < batches.size(); ++i) {
    context_.note("autoencoder update");
    if (!adversarial) passes.push_back(run(batches[i], step, true, &sums));
    Pass pass = again ? run(batches[i], step, true, nullptr) : std::move(passes[i]);
    if (!adversarial) all.push_back(slopes(batches[i], pass.reconstruction, false, sums));
    at::Tensor slope = all[i].distance;
    if (adversarial) slope = slope + lambda * all[i].adversarial;
    show("autoencoder.image", batches[i].images);
    show("autoencoder.reconstruction", pass.reconstruction);
    if (i + 1 == batches.size()) player_.reducer().arm();
    player_.backward((pass.reconstruction * slope).sum() + pass.regulariser);
    fakes.push_back(pass.reconstruction.detach());
    pass.reconstruction.reset();
    pass.regulariser.reset();
    passes[i] = std::move(pass);
  }
  player_.finish_gradients();
  show_gradients(player_);
  player_.update();
  for (Player* player : players()) player->restore_buffers(player_);
  if (usage_) look_after_codes(step, batches, passes, sums);
}

void AutoencoderMethod::update_discriminator(const std::vector<Seen>& batches,
                                             const std::vector<at::Tensor>& fakes, StepSums& sums) {
  const TraceRange range("discriminator");
  discriminator_player_.keep_buffers();
  discriminator_->begin_phase(true);
  discriminator_player_.zero_gradients();
  for (std::size_t i = 0; i < batches.size(); ++i) {
    context_.note("discriminator update");
    const Seen& seen = batches[i];
    ForwardContext both = seen.forward;
    both.parts = 2;
    const std::int64_t count = seen.images.size(0);
    if (i + 1 == batches.size()) discriminator_player_.reducer().arm();
    const at::Tensor logits = discriminator_->forward(at::cat({seen.images, fakes[i]}), both);
    const at::Tensor real = logits.narrow(0, 0, count), fake = logits.narrow(0, count, count);
    const at::Tensor loss = loss_.discriminator(real, fake, both.layout).sum() *
                            (options_.discriminator_factor * share_of_batch());
    sums.add("loss_d", loss);
    sums.add("real_logit", real.flatten(1).mean(1).sum() * share_of_batch());
    sums.add("fake_logit", fake.flatten(1).mean(1).sum() * share_of_batch());
    discriminator_player_.backward(loss);
  }
  discriminator_player_.finish_gradients();
  show_gradients(discriminator_player_);
  discriminator_player_.update();
  discriminator_player_.restore_buffers(discriminator_player_);
}

void AutoencoderMethod::look_after_codes(std::int64_t step, const std::vector<Seen>& batches,
                                         const std::vector<Pass>& passes, StepSums& sums) {
  const at::NoGradGuard no_grad;
  const std::int64_t codes = options_.network.codes;
  at::Tensor counts = at::zeros({codes}, at::TensorOptions(at::kDouble).device(context_.device));
  for (const Pass& pass : passes) counts.add_(at::bincount(pass.indices.flatten(), {}, codes));
  context_.batch_norm.all_reduce(counts)->wait();
  usage_->add(counts * player_.guard().kept());
  const auto ranks = static_cast<double>(context_.batch_norm.size());  // each tells its part of what all know
  sums.add("codes", (counts > 0).sum().to(at::kDouble) / ranks);
  sums.add("unused_codes", usage_->unused().to(at::kDouble) / ranks);
  if (options_.restart_every == 0 || step % options_.restart_every != 0) return;
  std::vector<VectorsOfBatch> vectors;
  for (std::size_t i = 0; i < passes.size(); ++i) vectors.push_back({passes[i].vectors, batches[i].first});
  at::Tensor places = drawn_vectors({.seed = context_.seed,
                                     .reseed = context_.reseed,
                                     .phase = "codebook",
                                     .step = static_cast<std::uint64_t>(step)},
                                    codes, context_.batch, vectors)
                          .contiguous();
  context_.batch_norm.all_reduce(places)->wait();
  usage_->restart(player_, codes_name, places);
}

void AutoencoderMethod::show_gradients(const Player& player) const {
  if (!observe) return;
  for (const auto& [name, gradient] : player.gradients()) show(player.name() + ".gradient." + name, gradient);
}

StepReport AutoencoderMethod::step(std::int64_t step, const NextBatch& next) {
  StepSums sums;
  std::vector<Seen> batches;
  std::vector<at::Tensor> fakes;
  for (std::int64_t i = 0; i < context_.accumulate; ++i) batches.push_back(seen(next(), i));
  const bool adversarial = options_.adversarial > 0 && step >= options_.adversarial_from;
  update_autoencoder(step, adversarial, batches, fakes, sums);
  if (adversarial) update_discriminator(batches, fakes, sums);
  return sums.report();
}

std::shared_ptr<Autoencoder> AutoencoderMethod::network(bool average) const {
  const bool averaged = average && player_.has_average();
  auto copy = std::make_shared<Autoencoder>(options_.network);
  copy->to(context_.device, context_.dtype);
  copy_tensors(player_.weights(averaged), parameters_of(*copy));
  return copy;
}

std::unique_ptr<Sampler> AutoencoderMethod::sampler(const SampleOptions& options) {
  return std::make_unique<ReconstructionSampler>(network(options.ema), options_.network, options,
                                                 context_.dtype, context_.device);
}

}  // namespace ganymede
