#include "models/translation/cyclegan.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "core/trace_range.h"
#include "models/gan/frozen.h"
#include "models/layers/initialise.h"
#include "models/translation/translation_sampler.h"

namespace ganymede {

void CycleGanOptions::describe(OptionSchema& schema) {
  shared.describe(schema);
  schema.add("cyclegan.blocks", resnet.blocks, "", {1, 100},
             "residual blocks of each generator: 6 at 128 pixels in the paper, 9 at 256");
  schema.add("cyclegan.generator_channels", resnet.channels, "", {1, 4096},
             "channels of the generators' largest map");
  schema.add("cyclegan.cycle", cycle, "", {0, 1e6},
             "lambda: weight of what is lost on the way there and back");
  schema.add("cyclegan.identity", identity, "", {0, 1e6},
             "weight, over lambda, of how a generator changes what is of its own kind already; 0 for none");
  schema.add("cyclegan.pool", pool, "images", {0, 1e5},
             "generated images of the past that discriminators see, of each kind; 0 for none");
  shared.describe_players(schema);
  schema.add("sampler.direction", direction, {"images", "sources"},
             "what samples are: images made of a dataset's sources, or sources made of its images",
             OnResume::free);
}

void CycleGanOptions::check(const GanLoss& loss) const {
  shared.check(loss);
  if (shared.height % 4 != 0 || shared.width % 4 != 0 || std::min(shared.height, shared.width) < 8)
    fail(ExitCode::options,
         "cyclegan.height = {}, cyclegan.width = {}: give multiples of 4, 8 or more, which the generators "
         "halve "
         "twice",
         shared.height, shared.width);
  if (direction == "sources" && shared.image_channels != shared.source_channels)
    fail(ExitCode::options,
         "sampler.direction = sources: samples have as many channels as images, {}, and sources have {}",
         shared.image_channels, shared.source_channels);
  if (identity > 0 && shared.image_channels != shared.source_channels)
    fail(ExitCode::options,
         "cyclegan.identity = {} has a generator look at what it makes, and images have {} channels, sources "
         "{}: "
         "set cyclegan.identity = 0",
         identity, shared.image_channels, shared.source_channels);
}

ResnetTranslatorOptions CycleGanOptions::generator() const {
  ResnetTranslatorOptions options = resnet;
  options.source_channels = shared.source_channels;
  options.image_channels = shared.image_channels;
  return options;
}

PatchDiscriminatorOptions CycleGanOptions::discriminator(std::int64_t channels) const {
  PatchDiscriminatorOptions options = shared.patches;
  options.channels = channels;
  options.norm = "instance";
  return options;
}

namespace {

std::shared_ptr<CycleDiscriminators> make_discriminators(const CycleGanOptions& options) {
  return std::make_shared<CycleDiscriminators>(options.discriminator(options.shared.image_channels),
                                               options.discriminator(options.shared.source_channels));
}

ImagePool make_pool(const char* name, const CycleGanOptions& options, std::int64_t channels,
                    const MethodContext& context) {
  return {name,
          options.pool,
          {channels, options.shared.height, options.shared.width},
          at::TensorOptions(context.dtype).device(context.device)};
}

}  // namespace

CycleGanMethod::CycleGanMethod(const CycleGanOptions& options, const GanLoss& loss,
                               const MethodContext& context)
    : options_(options),
      context_(context),
      loss_(loss, context.batch_norm),
      generators_(std::make_shared<CycleGenerators>(options.generator())),
      discriminators_(make_discriminators(options)),
      generator_player_("generator", generators_, options.shared.generator, context.dtype, context.device,
                        context.gradients, context.bucket_bytes, context.scale_loss(),
                        context.shard_optimizer),
      discriminator_player_("discriminator", discriminators_, options.shared.discriminator, context.dtype,
                            context.device, context.gradients, context.bucket_bytes, context.scale_loss(),
                            context.shard_optimizer),
      image_pool_(make_pool("cyclegan/image_pool", options, options.shared.image_channels, context)),
      source_pool_(make_pool("cyclegan/source_pool", options, options.shared.source_channels, context)) {}

void CycleGanMethod::initialise() {
  ganymede::initialise(*generators_, "n02", context_.seed);
  ganymede::initialise(*discriminators_, "n02", context_.seed);
  generator_player_.reset_average();
  for (ImagePool* pool : {&image_pool_, &source_pool_}) pool->reset();
}

NamedTensors CycleGanMethod::state() const {
  NamedTensors state = image_pool_.state();
  for (const auto& item : source_pool_.state()) state.push_back(item);
  return state;
}

std::vector<CollectiveCost> CycleGanMethod::costs_per_step(int /*ranks*/) const {
  std::vector<CollectiveCost> costs;
  for (const Player* player : {&generator_player_, &discriminator_player_}) add_update_costs(costs, *player);
  const TranslationOptions& shared = options_.shared;
  const std::int64_t size = static_cast<std::int64_t>(c10::elementSize(context_.dtype));
  if (options_.pool > 0)
    costs.push_back({"image pools", 2 * context_.accumulate,
                     context_.batch * (shared.image_channels + shared.source_channels) * shared.height *
                         shared.width * size});
  return costs;
}

CycleGanMethod::Unpaired CycleGanMethod::next_unpaired(const NextBatch& next) const {
  const Batch batch = next();
  context_.note("generator update");
  return {batch.sources.to(context_.device, context_.dtype),
          batch.images,
          {},
          {},
          {context_.batch_norm,
           {batch.share.first, context_.micro_batch(), context_.micro_batch()},
           BatchNormMode::train,
           context_.activations}};
}

at::Tensor CycleGanMethod::generator_loss(Unpaired& pair, StepSums& sums) {
  const double share_of_batch = 1.0 / static_cast<double>(context_.batch);
  ResnetTranslator &to_images = *generators_->to_images, &to_sources = *generators_->to_sources;
  const auto part = [&](const char* name, const at::Tensor& each) {
    const at::Tensor sum = each.sum() * share_of_batch;
    sums.add(name, sum);
    return sum;
  };
  const GroupLayout& layout = pair.forward.layout;
  const at::Tensor fake_image = to_images.forward(pair.source, pair.forward);
  const at::Tensor fake_source = to_sources.forward(pair.image, pair.forward);
  const at::Tensor image_logits = discriminators_->of_images->forward(fake_image, pair.forward);
  const at::Tensor source_logits = discriminators_->of_sources->forward(fake_source, pair.forward);
  const at::Tensor source_again = to_sources.forward(fake_image, pair.forward);
  const at::Tensor image_again = to_images.forward(fake_source, pair.forward);
  at::Tensor loss =
      options_.shared.adversarial *
          part("loss_g", loss_.generator(image_logits, layout) + loss_.generator(source_logits, layout)) +
      options_.cycle *
          part("cycle", mean_distance(source_again, pair.source) + mean_distance(image_again, pair.image));
  if (options_.identity > 0)
    loss = loss + options_.cycle * options_.identity *
                      part("identity",
                           mean_distance(to_images.forward(pair.image, pair.forward), pair.image) +
                               mean_distance(to_sources.forward(pair.source, pair.forward), pair.source));
  pair.fake_image = fake_image.detach();
  pair.fake_source = fake_source.detach();
  show("generator.source", pair.source);
  show("generator.real", pair.image);
  show("generator.fake_image", fake_image);
  show("generator.fake_source", fake_source);
  show("generator.loss", loss);
  return loss;
}

void CycleGanMethod::update_generators(const NextBatch& next, std::vector<Unpaired>& seen, StepSums& sums) {
  const TraceRange range("generator");
  const Frozen frozen(*discriminators_);
  generators_->begin_phase(true);
  discriminators_->begin_phase(true);
  generator_player_.zero_gradients();
  for (std::int64_t micro_step = 0; micro_step < context_.accumulate; ++micro_step) {
    seen.push_back(next_unpaired(next));
    if (micro_step + 1 == context_.accumulate) generator_player_.reducer().arm();
    generator_player_.backward(generator_loss(seen.back(), sums));
  }
  generator_player_.finish_gradients();
  show_gradients(generator_player_);
  generator_player_.update();
}

void CycleGanMethod::draw_from_pools(std::int64_t step, std::vector<Unpaired>& seen) {
  const RandomKey key{.seed = context_.seed,
                      .reseed = context_.reseed,
                      .phase = "discriminator",
                      .step = static_cast<std::uint64_t>(step)};
  const std::int64_t before = (step - 1) * context_.batch;
  std::int64_t position = 0;
  for (Unpaired& pair : seen) {
    const GroupLayout& layout = pair.forward.layout;
    pair.fake_image =
        image_pool_.exchange(pair.fake_image, layout, position, before, key, context_.batch_norm);
    pair.fake_source =
        source_pool_.exchange(pair.fake_source, layout, position, before, key, context_.batch_norm);
    show("discriminator.pooled_image", pair.fake_image);
    show("discriminator.pooled_source", pair.fake_source);
    position += layout.total;
  }
}

void CycleGanMethod::update_discriminators(std::int64_t step, std::vector<Unpaired>& seen, StepSums& sums) {
  const TraceRange range("discriminator");
  const double share_of_batch = 1.0 / static_cast<double>(context_.batch);
  NamedTensors before;
  for (const auto& [name, tensor] : state()) before.emplace_back(name, tensor.clone());
  draw_from_pools(step, seen);
  discriminators_->begin_phase(true);
  discriminator_player_.zero_gradients();
  for (const Unpaired& pair : seen) {
    context_.note("discriminator update");
    if (&pair == &seen.back()) discriminator_player_.reducer().arm();
    const auto judged = [&](PatchDiscriminator& discriminator, const at::Tensor& real,
                            const at::Tensor& fake) {
      const at::Tensor logits = discriminator.forward(at::cat({real, fake}), pair.forward);
      const std::int64_t count = real.size(0);
      const at::Tensor real_logits = logits.narrow(0, 0, count), fake_logits = logits.narrow(0, count, count);
      sums.add("real_logit", real_logits.flatten(1).mean(1).sum() * (share_of_batch / 2));
      sums.add("fake_logit", fake_logits.flatten(1).mean(1).sum() * (share_of_batch / 2));
      return loss_.discriminator(real_logits, fake_logits, pair.forward.layout).sum();
    };
    const at::Tensor loss = (judged(*discriminators_->of_images, pair.image, pair.fake_image) +
                             judged(*discriminators_->of_sources, pair.source, pair.fake_source)) *
                            (options_.shared.discriminator_factor * share_of_batch);
    sums.add("loss_d", loss);
    show("discriminator.loss", loss);
    discriminator_player_.backward(loss);
  }
  discriminator_player_.finish_gradients();
  show_gradients(discriminator_player_);
  discriminator_player_.update();
  const NamedTensors after = state();
  // Where G's update was skipped, its images may not be finite: no pool may keep them.
  for (std::size_t i = 0; i < before.size(); ++i)
    for (const Player* player : {&generator_player_, &discriminator_player_})
      player->undo_if_skipped(after[i].second, before[i].second);
}

void CycleGanMethod::show_gradients(const Player& player) const {
  if (!observe) return;
  for (const auto& [name, gradient] : player.gradients()) show(player.name() + ".gradient." + name, gradient);
}

StepReport CycleGanMethod::step(std::int64_t step, const NextBatch& next) {
  StepSums sums;
  std::vector<Unpaired> seen;
  update_generators(next, seen, sums);
  update_discriminators(step, seen, sums);
  return sums.report();
}

std::unique_ptr<Sampler> CycleGanMethod::sampler(const SampleOptions& options) {
  const bool average = options.ema && generator_player_.has_average();
  CycleGenerators both(options_.generator());
  both.to(context_.device, context_.dtype);
  copy_tensors(generator_player_.weights(average), parameters_of(both));
  const TranslationOptions& shared = options_.shared;
  const bool forward = options_.direction == "images";
  return std::make_unique<TranslationSampler>(
      forward ? both.to_images : both.to_sources, options,
      TranslationSampler::Setting{forward ? shared.source_channels : shared.image_channels, shared.height,
                                  shared.width, context_.micro_batch(), false, context_.dtype,
                                  context_.device});
}

namespace {

class CycleGanRecipe final : public MethodRecipe {
 public:
  explicit CycleGanRecipe(const Settings& settings) {
    options_.shared.loss = chosen_loss(settings, options_.shared.loss);
    if (options_.shared.loss != "lsgan") {
      options_.shared.adversarial = 1;
      options_.shared.discriminator_factor = 0.5;
    }
    loss_ = make_gan_loss(options_.shared.loss);
  }
  void describe(OptionSchema& schema) override {
    options_.describe(schema);
    loss_->describe(schema);
  }
  void check(std::int64_t /*micro_batch*/) const override { options_.check(*loss_); }
  void check_sampling(const SampleOptions& options) const override {
    options_.shared.check_sampling(options, "instance");
  }
  std::vector<std::string> warnings(std::int64_t steps) const override {
    return options_.shared.warnings(steps);
  }
  ImageSpec images() const override {
    ImageSpec spec = options_.shared.images(SourceImages::unpaired);
    spec.draws_sources = options_.direction == "sources";
    return spec;
  }
  std::vector<std::pair<std::string, std::int64_t>> parameter_counts() const override {
    const CycleGenerators generators(options_.generator());
    const auto discriminators = make_discriminators(options_);
    return {{"to_images", count_parameters(*generators.to_images)},
            {"to_sources", count_parameters(*generators.to_sources)},
            {"of_images", count_parameters(*discriminators->of_images)},
            {"of_sources", count_parameters(*discriminators->of_sources)}};
  }
  std::unique_ptr<Method> build(const MethodContext& context) const override {
    return std::make_unique<CycleGanMethod>(options_, *loss_, context);
  }

 private:
  CycleGanOptions options_;
  std::unique_ptr<GanLoss> loss_;
};

}  // namespace

std::unique_ptr<MethodRecipe> make_cyclegan_recipe(const Settings& settings) {
  return std::make_unique<CycleGanRecipe>(settings);
}

}  // namespace ganymede
