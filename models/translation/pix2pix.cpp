#include "models/translation/pix2pix.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "core/trace_range.h"
#include "models/gan/frozen.h"
#include "models/layers/initialise.h"
#include "models/translation/translation_sampler.h"

namespace ganymede {

void Pix2PixOptions::describe(OptionSchema& schema) {
  shared.describe(schema);
  schema.add("pix2pix.depth", unet.depth, "", {2, 12},
             "halvings of the U-Net: 2^depth divides height and width");
  schema.add("pix2pix.generator_channels", unet.channels, "", {1, 4096},
             "channels of the U-Net's largest map; twice as many at each halving, up to eight times");
  schema.add("pix2pix.norm", unet.norm, MapNorm::kinds(), "of both networks' maps");
  schema.add("pix2pix.dropout", unet.dropout, "", {0, 0.99}, "probability in the decoder's first blocks");
  schema.add("pix2pix.dropout_blocks", unet.dropout_blocks, "", {0, 12}, "how many blocks those are");
  schema.add("pix2pix.l1", l1, "", {0, 1e6}, "weight of the mean absolute difference from the image");
  schema.add("pix2pix.batch_norm_group", batch_norm_group, "images", {0, 1e9},
             "consecutive images of a micro-batch that share batch-norm statistics, 0 for all");
  shared.describe_players(schema);
  schema.add("sampler.dropout", sampler_dropout, "dropout is drawn in samples too, as in the paper",
             OnResume::free);
}

void Pix2PixOptions::check(const GanLoss& loss, std::int64_t micro_batch) const {
  shared.check(loss);
  const std::int64_t unit = std::int64_t{1} << unet.depth;
  if (shared.height % unit != 0 || shared.width % unit != 0)
    fail(ExitCode::options,
         "pix2pix.depth = {}: {} does not divide images of {}x{} pixels: lower it, or pack others",
         unet.depth, unit, shared.height, shared.width);
  if (unet.dropout_blocks >= unet.depth)
    fail(ExitCode::options, "pix2pix.dropout_blocks = {}: the decoder has {} blocks before its last: give at most that",
         unet.dropout_blocks, unet.depth - 1);
  if (batch_norm_group > 0 && micro_batch % batch_norm_group != 0)
    fail(ExitCode::options,
         "pix2pix.batch_norm_group = {} does not divide the micro-batch of {} images: give one of its divisors, or 0",
         batch_norm_group, micro_batch);
}

UnetTranslatorOptions Pix2PixOptions::generator() const {
  UnetTranslatorOptions options = unet;
  options.source_channels = shared.source_channels;
  options.image_channels = shared.image_channels;
  return options;
}

PatchDiscriminatorOptions Pix2PixOptions::discriminator() const {
  PatchDiscriminatorOptions options = shared.patches;
  options.channels = shared.source_channels + shared.image_channels;
  options.norm = unet.norm;
  return options;
}

Pix2PixMethod::Pix2PixMethod(const Pix2PixOptions& options, const GanLoss& loss, const MethodContext& context)
    : options_(options),
      context_(context),
      loss_(loss, context.batch_norm),
      generator_(std::make_shared<UnetTranslator>(options.generator())),
      discriminator_(std::make_shared<PatchDiscriminator>(options.discriminator())),
      generator_player_("generator", generator_, options.shared.generator, context.dtype, context.device,
                        context.gradients, context.bucket_bytes, context.scale_loss(),
                        context.shard_optimizer),
      discriminator_player_("discriminator", discriminator_, options.shared.discriminator, context.dtype,
                            context.device, context.gradients, context.bucket_bytes, context.scale_loss(),
                            context.shard_optimizer) {}

void Pix2PixMethod::initialise() {
  ganymede::initialise(*generator_, "n02", context_.seed);
  ganymede::initialise(*discriminator_, "n02", context_.seed);
  generator_player_.reset_average();
}

std::int64_t Pix2PixMethod::group() const {
  return options_.batch_norm_group > 0 ? options_.batch_norm_group : context_.micro_batch();
}

std::vector<CollectiveCost> Pix2PixMethod::costs_per_step(int ranks) const {
  const std::int64_t size = static_cast<std::int64_t>(c10::elementSize(context_.dtype));
  const GroupLayout layout{0, context_.micro_batch(), group()};
  CollectiveCost norms{"batch norm"};
  const auto add = [&](const Network& network, std::int64_t forwards, std::int64_t backwards) {
    for (const Exchange& exchange : network.exchanges(layout, ranks)) {
      norms.count += forwards + backwards;
      norms.bytes +=
          exchange.numbers * (forwards * static_cast<std::int64_t>(sizeof(double)) + backwards * size);
    }
  };
  const std::int64_t parts = context_.accumulate;
  add(*generator_, parts * (keeps_graph() ? 1 : 2), parts);
  add(*discriminator_, 3 * parts, 3 * parts);  // real, fake, and fake in G's update
  std::vector<CollectiveCost> costs;
  for (const Player* player : {&discriminator_player_, &generator_player_}) add_update_costs(costs, *player);
  if (norms.count > 0) costs.push_back(norms);
  return costs;
}

Pix2PixMethod::Pairs Pix2PixMethod::next_pairs(std::int64_t step, std::int64_t micro_step,
                                               const NextBatch& next) {
  const Batch batch = next();
  context_.note("discriminator update");
  ForwardContext forward{context_.batch_norm,
                         {batch.share.first, context_.micro_batch(), group()},
                         BatchNormMode::train,
                         context_.activations};
  forward.noise = NoiseSource{{.seed = context_.seed,
                               .reseed = context_.reseed,
                               .phase = "generator",
                               .step = static_cast<std::uint64_t>(step)},
                              micro_step * context_.micro_batch() + batch.share.first};
  Pairs pairs{batch.sources.to(context_.device, context_.dtype), batch.images, {}, forward};
  const at::AutoGradMode with_graph(keeps_graph());
  if (!keeps_graph()) forward.batch_norm = BatchNormMode::batch;  // what is made again is remembered once
  pairs.fake = generator_->forward(pairs.source, forward);
  return pairs;
}

void Pix2PixMethod::update_discriminator(std::int64_t step, const NextBatch& next, std::vector<Pairs>& seen,
                                         StepSums& sums) {
  const TraceRange range("discriminator");
  const double share_of_batch = 1.0 / static_cast<double>(context_.batch);
  discriminator_player_.keep_buffers();
  generator_->begin_phase(true);
  discriminator_->begin_phase(true);
  discriminator_player_.zero_gradients();
  for (std::int64_t micro_step = 0; micro_step < context_.accumulate; ++micro_step) {
    seen.push_back(next_pairs(step, micro_step, next));
    const Pairs& pairs = seen.back();
    const at::Tensor fake = pairs.fake.detach();
    if (micro_step + 1 == context_.accumulate) discriminator_player_.reducer().arm();
    ForwardContext both = pairs.forward;
    both.parts = 2;
    const at::Tensor logits = discriminator_->forward(
        at::cat({at::cat({pairs.source, pairs.image}, 1), at::cat({pairs.source, fake}, 1)}), both);
    const std::int64_t count = fake.size(0);
    const at::Tensor real_logits = logits.narrow(0, 0, count), fake_logits = logits.narrow(0, count, count);
    const at::Tensor loss = loss_.discriminator(real_logits, fake_logits, both.layout).sum() *
                            (options_.shared.discriminator_factor * share_of_batch);
    sums.add("loss_d", loss);
    sums.add("real_logit", real_logits.flatten(1).mean(1).sum() * share_of_batch);
    sums.add("fake_logit", fake_logits.flatten(1).mean(1).sum() * share_of_batch);
    show("discriminator.source", pairs.source);
    show("discriminator.real", pairs.image);
    show("discriminator.fake", fake);
    show("discriminator.logits", logits);
    show("discriminator.loss", loss);
    discriminator_player_.backward(loss);
  }
  discriminator_player_.finish_gradients();
  show_gradients(discriminator_player_);
  discriminator_player_.update();
  discriminator_player_.restore_buffers(discriminator_player_);
}

void Pix2PixMethod::update_generator(std::vector<Pairs>& seen, StepSums& sums) {
  const TraceRange range("generator");
  const double share_of_batch = 1.0 / static_cast<double>(context_.batch);
  const Frozen frozen(*discriminator_);
  discriminator_player_.keep_buffers();
  discriminator_->begin_phase(true);
  generator_player_.zero_gradients();
  for (Pairs& pairs : seen) {
    context_.note("generator update");
    const at::Tensor fake =
        keeps_graph() ? std::move(pairs.fake) : generator_->forward(pairs.source, pairs.forward);
    if (&pairs == &seen.back()) generator_player_.reducer().arm();
    const at::Tensor logits = discriminator_->forward(at::cat({pairs.source, fake}, 1), pairs.forward);
    const at::Tensor adversarial = loss_.generator(logits, pairs.forward.layout).sum() * share_of_batch;
    const at::Tensor distance = mean_distance(fake, pairs.image).sum() * share_of_batch;
    const at::Tensor loss = options_.shared.adversarial * adversarial + options_.l1 * distance;
    sums.add("loss_g", adversarial);
    sums.add("l1", distance);
    show("generator.fake", fake);
    show("generator.logits", logits);
    show("generator.loss", loss);
    generator_player_.backward(loss);
  }
  generator_player_.finish_gradients();
  show_gradients(generator_player_);
  generator_player_.update();
  for (Player* player : players()) player->restore_buffers(generator_player_);
}

void Pix2PixMethod::show_gradients(const Player& player) const {
  if (!observe) return;
  for (const auto& [name, gradient] : player.gradients()) show(player.name() + ".gradient." + name, gradient);
}

StepReport Pix2PixMethod::step(std::int64_t step, const NextBatch& next) {
  StepSums sums;
  std::vector<Pairs> seen;
  generator_player_.keep_buffers();
  update_discriminator(step, next, seen, sums);
  update_generator(seen, sums);
  return sums.report();
}

std::unique_ptr<Sampler> Pix2PixMethod::sampler(const SampleOptions& options) {
  const bool average = options.ema && generator_player_.has_average();
  auto network = std::make_shared<UnetTranslator>(options_.generator());
  network->to(context_.device, context_.dtype);
  copy_tensors(generator_player_.weights(average), parameters_of(*network));
  copy_tensors(generator_player_.buffers(average), buffers_of(*network));
  const TranslationOptions& shared = options_.shared;
  return std::make_unique<TranslationSampler>(
      std::move(network), options,
      TranslationSampler::Setting{shared.source_channels, shared.height, shared.width, group(),
                                  options_.sampler_dropout, context_.dtype, context_.device});
}

namespace {

class Pix2PixRecipe final : public MethodRecipe {
 public:
  explicit Pix2PixRecipe(const Settings& settings) {
    options_.shared.loss = chosen_loss(settings, options_.shared.loss);
    loss_ = make_gan_loss(options_.shared.loss);
  }
  void describe(OptionSchema& schema) override {
    options_.describe(schema);
    loss_->describe(schema);
  }
  void check(std::int64_t micro_batch) const override { options_.check(*loss_, micro_batch); }
  void check_sampling(const SampleOptions& options) const override {
    options_.shared.check_sampling(options, options_.unet.norm);
  }
  std::vector<std::string> warnings(std::int64_t steps) const override {
    return options_.shared.warnings(steps);
  }
  ImageSpec images() const override { return options_.shared.images(SourceImages::paired); }
  std::vector<std::pair<std::string, std::int64_t>> parameter_counts() const override {
    return {{"generator", count_parameters(UnetTranslator(options_.generator()))},
            {"discriminator", count_parameters(PatchDiscriminator(options_.discriminator()))}};
  }
  std::unique_ptr<Method> build(const MethodContext& context) const override {
    return std::make_unique<Pix2PixMethod>(options_, *loss_, context);
  }

 private:
  Pix2PixOptions options_;
  std::unique_ptr<GanLoss> loss_;
};

}  // namespace

std::unique_ptr<MethodRecipe> make_pix2pix_recipe(const Settings& settings) {
  return std::make_unique<Pix2PixRecipe>(settings);
}

}  // namespace ganymede
