#include "models/encoders/encoding_method.h"

#include "core/error.h"
#include "core/trace_range.h"
#include "models/gan/gan_sampler.h"
#include "models/layers/initialise.h"

namespace ganymede {
namespace {

constexpr std::int64_t standing_passes = 16;

}  // namespace

void EncodingOptions::describe(OptionSchema& schema) {
  networks.describe(schema);
  for (const auto& [section, player] : {std::pair{"encoder", &encoder}, {"generator", &generator}}) {
    player->describe(schema, section);
    player->describe_average(schema, section);
  }
  discriminator.describe(schema, "discriminator");
}

void EncodingOptions::check(const std::string& name, const GanNetworks& of_generator) const {
  networks.check(of_generator.images());
  encoder.check("encoder");
  generator.check("generator");
  discriminator.check("discriminator");
  if (const std::string setting = of_generator.setting_for_plain_latent(); !setting.empty())
    fail(ExitCode::options, "train.method = {} gives the generator the encoder's latents as they are: set {}",
         name, setting);
  if (of_generator.images().embedding > 0)
    fail(ExitCode::options,
         "train.method = {} tells the generator labels, and this one follows texts: set dcgan.conditioning = "
         "none",
         name);
}

EncodingMethod::EncodingMethod(const GanNetworks& description, std::function<EncodingNetworks()> make,
                               const EncodingOptions& options, const MethodContext& context)
    : description_(description),
      options_(options),
      context_(context),
      make_(std::move(make)),
      networks_(make_()),
      encoder_("encoder", networks_.encoder, options.encoder, context.dtype, context.device,
               context.gradients, context.bucket_bytes, context.scale_loss(), context.shard_optimizer),
      generator_("generator", networks_.generator, options.generator, context.dtype, context.device,
                 context.gradients, context.bucket_bytes, context.scale_loss(), context.shard_optimizer),
      discriminator_("discriminator", networks_.discriminator, options.discriminator, context.dtype,
                     context.device, context.gradients, context.bucket_bytes, context.scale_loss(),
                     context.shard_optimizer) {}

void EncodingMethod::initialise() {
  const std::string kind = description_.initialisation();
  ganymede::initialise(*networks_.encoder, kind, context_.seed);
  ganymede::initialise(*networks_.generator, kind, context_.seed);
  ganymede::initialise(*networks_.discriminator, kind, context_.seed);
  for (Player* each : players()) each->reset_average();
}

std::vector<CollectiveCost> EncodingMethod::costs_per_step(int ranks) const {
  const Player* const all[] = {&encoder_, &generator_, &discriminator_};
  const Network* const networks[] = {networks_.encoder.get(), networks_.generator.get(),
                                     networks_.discriminator.get()};
  const GroupLayout layout{0, context_.micro_batch(), context_.micro_batch()};
  const std::int64_t size = static_cast<std::int64_t>(c10::elementSize(context_.dtype));
  std::vector<CollectiveCost> costs;
  CollectiveCost mixing{"batch norm", 0, 0};
  for (const Role role : {encoding, generating, discriminating}) {
    std::int64_t updates = 0;
    Runs runs;
    for (const Phase& phase : phases()) {
      updates += std::ranges::count(phase.learners, role);
      runs.forwards += phase.runs[role].forwards * context_.accumulate;
      runs.backwards += phase.runs[role].backwards * context_.accumulate;
    }
    add_update_costs(costs, *all[role], updates);
    for (const Exchange& exchange : networks[role]->exchanges(layout, ranks)) {
      const std::int64_t backwards = exchange.backward ? runs.backwards : 0;
      const std::int64_t exact = exchange.rounded ? size : static_cast<std::int64_t>(sizeof(double));
      mixing.count += runs.forwards + backwards;
      mixing.bytes += exchange.numbers * (runs.forwards * exact + backwards * size);
    }
  }
  costs.push_back(mixing);
  return costs;
}

at::Tensor EncodingMethod::mean_of(const at::Tensor& each) const {
  return each.sum() * (1.0 / static_cast<double>(context_.batch));
}

void EncodingMethod::report(const std::string& name, const at::Tensor& part) {
  const at::Tensor figure = part.detach().to(at::kDouble);
  const auto found = std::ranges::find(figures_, name, [](const auto& item) { return item.first; });
  if (found == figures_.end())
    figures_.emplace_back(name, figure);
  else
    found->second = found->second + figure;
}

at::Tensor EncodingMethod::prior(const MicroBatch& batch) const {
  return batch.draws.normal("z", networks_.generator->latent_size());
}

at::Tensor EncodingMethod::code_of(const LatentPosterior& posterior, const MicroBatch& batch) const {
  if (observe && posterior.log_variance.defined()) show("encoder.noise", posterior.noise(batch.draws));
  const at::Tensor code = posterior.drawn(batch.draws);
  show("encoder.code", code);
  return code;
}

void EncodingMethod::show_inputs(const MicroBatch& batch, const at::Tensor& z) const {
  show("discriminator.real", batch.images);
  show("discriminator.labels", batch.labels);
  show("generator.z", z);
}

void EncodingMethod::run_phase(std::int64_t step, std::size_t index, const Phase& phase,
                               const std::vector<Batch>& batches) {
  const TraceRange range(phase.name);
  const RandomKey key{.seed = context_.seed,
                      .reseed = context_.reseed,
                      .phase = phase.name,
                      .step = static_cast<std::uint64_t>(step)};
  for (Player* each : players()) each->keep_buffers();
  for (Network* network : {static_cast<Network*>(networks_.encoder.get()),
                           static_cast<Network*>(networks_.generator.get()), networks_.discriminator.get()})
    network->begin_phase(true);
  for (const Role role : phase.learners) player(role).zero_gradients();
  for (std::size_t micro_step = 0; micro_step < batches.size(); ++micro_step) {
    context_.note(phase.name);
    const Batch& batch = batches[micro_step];
    const ImageDraws draws{key,
                           static_cast<std::int64_t>(micro_step) * context_.micro_batch() + batch.share.first,
                           batch.share.count, context_.dtype, context_.device};
    ForwardContext forward{context_.batch_norm,
                           {batch.share.first, context_.micro_batch(), context_.micro_batch()},
                           BatchNormMode::train,
                           context_.activations};
    forward.noise = NoiseSource{draws.key, draws.first};
    const std::vector<at::Tensor> parts =
        losses(index, {batch.images, batch.labels.clamp_min(0), draws, forward});
    for (std::size_t i = 0; i < parts.size(); ++i) {
      Player& learner = player(phase.learners[i]);
      show(learner.name() + ".loss", parts[i]);
      if (micro_step + 1 == batches.size()) learner.reducer().arm();
      learner.backward_alone(parts[i]);
    }
  }
  for (const Role role : phase.learners) {
    player(role).finish_gradients();
    if (!observe) continue;
    for (const auto& [name, gradient] : player(role).gradients())
      show(player(role).name() + ".gradient." + name, gradient);
  }
  for (const Role role : phase.learners) player(role).update();
  // Who does not learn here goes with the first who does.
  for (const Role role : {encoding, generating, discriminating}) {
    const bool learns = std::ranges::count(phase.learners, role) > 0;
    player(role).restore_buffers(player(learns ? role : phase.learners.front()));
  }
}

StepReport EncodingMethod::step(std::int64_t step, const NextBatch& next) {
  std::vector<Batch> batches;
  for (std::int64_t i = 0; i < context_.accumulate; ++i) batches.push_back(next());
  figures_.clear();
  const std::vector<Phase> all = phases();
  for (std::size_t i = 0; i < all.size(); ++i) run_phase(step, i, all[i], batches);
  return std::move(figures_);
}

void EncodingMethod::fill(Network& network, const Player& player, bool ema) const {
  const bool average = ema && player.has_average();
  network.to(context_.device, context_.dtype);
  copy_tensors(player.weights(average), parameters_of(network));
  copy_tensors(player.buffers(average), buffers_of(network));
}

std::unique_ptr<Sampler> EncodingMethod::sampler(const SampleOptions& options) {
  auto network = description_.generator();
  fill(*network, generator_, options.ema);
  return std::make_unique<GanSampler>(
      std::move(network), options,
      GanSampler::Setting{context_.micro_batch(), standing_passes, description_.images().classes,
                          context_.dtype, context_.device, context_.alive},
      context_.batch_norm);
}

std::unique_ptr<ProjectionNetworks> EncodingMethod::projection(const SampleOptions& options) {
  const EncodingNetworks copies = make_();
  fill(*copies.encoder, encoder_, options.ema);
  fill(*copies.generator, generator_, options.ema);
  fill(*copies.discriminator, discriminator_, options.ema);
  ProjectionNetworks::Parts parts{.generator = copies.generator,
                                  .encoder = copies.encoder,
                                  .discriminator = copies.discriminator,
                                  .classes = description_.images().classes,
                                  .dtype = context_.dtype,
                                  .device = context_.device};
  add_features(parts);
  return std::make_unique<ProjectionNetworks>(std::move(parts));
}

}  // namespace ganymede
