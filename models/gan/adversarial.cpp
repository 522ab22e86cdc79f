#include "models/gan/adversarial.h"

#include "core/device.h"
#include "core/error.h"
#include "core/trace_range.h"
#include "models/gan/gan_sampler.h"
#include "models/layers/batch_norm.h"
#include "models/layers/initialise.h"
#include "models/layers/weighted.h"

namespace ganymede {

struct AdversarialMethod::Losses {
  at::Tensor discriminator, generator, penalty, real_logit, fake_logit;

  /// sum += part, on the device.
  static void add(at::Tensor& sum, const at::Tensor& part) {
    const at::Tensor figure = part.detach().to(at::kDouble);
    sum = sum.defined() ? sum + figure : figure;
  }
};

namespace {

/// D does not learn in G's phase: its weights' gradients are not computed.
class Frozen {
 public:
  explicit Frozen(torch::nn::Module& network) : network_(network) { set(false); }
  ~Frozen() { set(true); }
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;

 private:
  void set(bool learns) {
    for (auto& parameter : network_.parameters()) parameter.requires_grad_(learns);
  }
  torch::nn::Module& network_;
};

}  // namespace

void AdversarialOptions::describe(OptionSchema& schema) {
  schema.add("gan.loss", loss, gan_loss_names(), "adversarial loss");
  schema.add("gan.d_steps", d_steps, "updates", {1, 1000}, "discriminator updates a step");
  schema.add("gan.gradient_penalty", penalty.weight, "", {0, 1e6},
             "weight of the gradient penalty, 0 for none");
  schema.add("gan.gradient_penalty_kind", penalty.kind, {"wgan-gp", "r1"},
             "where and how D's gradient is penalised");
  schema.add("gan.orthogonal", orthogonal, "", {0, 1e3},
             "beta of G's orthogonal regulariser beta/2 |W W^T * (1 - I)|^2, 0 for none");
  schema.add("gan.batch_norm_group", batch_norm_group, "images", {0, 1e9},
             "consecutive images of a micro-batch that share batch-norm statistics, 0 for all");
  schema.add("gan.standing_passes", standing_passes, "batches", {1, 1e6},
             "batches averaged for standing statistics when sampling");
  generator.describe(schema, "generator");
  generator.describe_average(schema, "generator");
  discriminator.describe(schema, "discriminator");
}

AdversarialMethod::AdversarialMethod(const GanNetworks& networks, const AdversarialOptions& options,
                                     const MethodContext& context)
    : networks_(networks),
      options_(options),
      context_(context),
      loss_(gan_loss(options.loss)),
      generator_(networks.generator()),
      discriminator_(networks.discriminator()),
      generator_player_("generator", generator_, options.generator, context.dtype, context.device,
                        context.gradients, context.bucket_bytes),
      discriminator_player_("discriminator", discriminator_, options.discriminator, context.dtype,
                            context.device, context.gradients, context.bucket_bytes) {}

void AdversarialMethod::initialise() {
  ganymede::initialise(*generator_, networks_.initialisation(), context_.seed);
  ganymede::initialise(*discriminator_, networks_.initialisation(), context_.seed);
  generator_player_.reset_average();
  discriminator_player_.reset_average();
}

std::vector<CollectiveCost> AdversarialMethod::costs_per_step() const {
  const auto gradients = [](const Player& player, std::int64_t updates) {
    const auto& buckets = player.reducer().buckets();
    return CollectiveCost{player.name() + " gradients", updates * static_cast<std::int64_t>(buckets.size()),
                          updates * static_cast<std::int64_t>(player.gradient_arena().nbytes())};
  };
  CollectiveCost norms{"batch norm", 0, 0};
  const std::int64_t groups = forward_context({}).layout.groups();
  // D's updates run G forward, G's own forward and backward.
  const std::int64_t forwards = context_.accumulate * (options_.d_steps + 1);
  const std::int64_t backwards = context_.accumulate;
  for (const auto& module : generator_->modules())
    if (const auto* norm = dynamic_cast<const BatchNorm*>(module.get())) {
      norms.count += forwards + backwards;
      norms.bytes += groups * 2 * norm->channels() *
                     (forwards * static_cast<std::int64_t>(sizeof(double)) +
                      backwards * static_cast<std::int64_t>(c10::elementSize(context_.dtype)));
    }
  return {gradients(discriminator_player_, options_.d_steps), gradients(generator_player_, 1), norms};
}

AdversarialMethod::Latents AdversarialMethod::draw_latents(const RandomKey& key, const Share& share,
                                                           std::int64_t micro_step) const {
  const std::int64_t first = micro_step * context_.micro_batch() + share.first;
  RandomKey z_key = key, label_key = key;
  z_key.stream = "z";
  label_key.stream = "label";
  const at::Tensor z =
      RandomStream(z_key).normal(first, share.count, generator_->latent_size(), context_.dtype);
  const at::Tensor labels = RandomStream(label_key).integers(first, share.count, networks_.images().classes);
  return {to_device(z, context_.device), to_device(labels, context_.device)};
}

std::int64_t AdversarialMethod::group() const {
  return options_.batch_norm_group > 0 ? options_.batch_norm_group : context_.micro_batch();
}

ForwardContext AdversarialMethod::forward_context(const Share& share) const {
  return {context_.batch_norm,
          {share.first, context_.micro_batch(), group()},
          BatchNormMode::train,
          context_.activations};
}

void AdversarialMethod::update_discriminator(std::int64_t step, std::int64_t sub_step, const NextBatch& next,
                                             Losses& losses) {
  const TraceRange range("discriminator");
  const RandomKey key{.seed = context_.seed,
                      .reseed = context_.reseed,
                      .phase = "discriminator",
                      .step = static_cast<std::uint64_t>(step),
                      .sub_step = static_cast<std::uint64_t>(sub_step)};
  const double share_of_batch = 1.0 / static_cast<double>(context_.batch);
  generator_->begin_phase(true);
  discriminator_->begin_phase(true);
  discriminator_player_.zero_gradients();
  for (std::int64_t micro_step = 0; micro_step < context_.accumulate; ++micro_step) {
    const Batch batch = next();
    context_.note("discriminator update");
    const at::Tensor labels = batch.labels.clamp_min(0);
    const Latents latents = draw_latents(key, batch.share, micro_step);
    ForwardContext forward = forward_context(batch.share);
    forward.noise = NoiseSource{key, micro_step * context_.micro_batch() + batch.share.first};
    at::Tensor fake;
    {
      const at::NoGradGuard no_grad;
      fake = generator_->forward(latents.z, latents.labels, forward);
    }
    if (micro_step + 1 == context_.accumulate) discriminator_player_.reducer().arm();
    ForwardContext both = forward;
    both.parts = 2;
    const at::Tensor logits =
        discriminator_->forward(at::cat({batch.images, fake}), at::cat({labels, latents.labels}), both);
    const std::int64_t count = batch.share.count;
    const at::Tensor real_logits = logits.narrow(0, 0, count), fake_logits = logits.narrow(0, count, count);
    at::Tensor loss = (loss_.real(real_logits).sum() + loss_.fake(fake_logits).sum()) * share_of_batch;
    Losses::add(losses.discriminator, loss);
    Losses::add(losses.real_logit, real_logits.sum() * share_of_batch);
    Losses::add(losses.fake_logit, fake_logits.sum() * share_of_batch);
    show("discriminator.real", batch.images);
    show("discriminator.labels", labels);
    show("discriminator.z", latents.z);
    show("discriminator.fake_labels", latents.labels);
    show("discriminator.fake", fake);
    show("discriminator.logits", logits);
    if (options_.penalty.weight > 0) {
      RandomKey penalty_key = key;
      penalty_key.stream = "penalty";
      const at::Tensor eps = to_device(
          RandomStream(penalty_key)
              .uniform(micro_step * context_.micro_batch() + batch.share.first, count, 1, context_.dtype),
          context_.device);
      const at::Tensor penalty =
          gradient_penalty(options_.penalty, *discriminator_, batch.images, fake, labels, eps, forward)
              .sum() *
          share_of_batch;
      Losses::add(losses.penalty, penalty);
      show("discriminator.penalty_eps", eps);
      show("discriminator.penalty", penalty);
      loss = loss + penalty;
    }
    show("discriminator.loss", loss);
    loss.backward();
  }
  discriminator_player_.reducer().finalize();
  show_gradients(discriminator_player_);
  discriminator_player_.update();
}

void AdversarialMethod::update_generator(std::int64_t step, Losses& losses) {
  const TraceRange range("generator");
  const RandomKey key{.seed = context_.seed,
                      .reseed = context_.reseed,
                      .phase = "generator",
                      .step = static_cast<std::uint64_t>(step)};
  const double share_of_batch = 1.0 / static_cast<double>(context_.batch);
  const Share share = share_of(context_.micro_batch(), context_.gradients.rank(), context_.gradients.size());
  ForwardContext forward = forward_context(share);
  const Frozen frozen(*discriminator_);
  generator_->begin_phase(true);
  discriminator_->begin_phase(true);
  generator_player_.zero_gradients();
  for (std::int64_t micro_step = 0; micro_step < context_.accumulate; ++micro_step) {
    context_.note("generator update");
    const Latents latents = draw_latents(key, share, micro_step);
    forward.noise = NoiseSource{key, micro_step * context_.micro_batch() + share.first};
    if (micro_step + 1 == context_.accumulate) generator_player_.reducer().arm();
    const at::Tensor fake = generator_->forward(latents.z, latents.labels, forward);
    const at::Tensor logits = discriminator_->forward(fake, latents.labels, forward);
    const at::Tensor loss = loss_.generator(logits).sum() * share_of_batch;
    Losses::add(losses.generator, loss);
    show("generator.z", latents.z);
    show("generator.labels", latents.labels);
    show("generator.fake", fake);
    show("generator.logits", logits);
    show("generator.loss", loss);
    loss.backward();
  }
  generator_player_.reducer().finalize();
  add_orthogonal_gradient();
  show_gradients(generator_player_);
  generator_player_.update();
}

void AdversarialMethod::show_gradients(const Player& player) const {
  if (!observe) return;
  for (const auto& [name, gradient] : player.gradients()) show(player.name() + ".gradient." + name, gradient);
}

void AdversarialMethod::add_orthogonal_gradient() {
  if (options_.orthogonal == 0) return;
  const at::NoGradGuard no_grad;
  for (const auto& module : generator_->modules()) {
    const auto* layer = dynamic_cast<const Weighted*>(module.get());
    // The class embedding is a table, not a map: its rows need not be orthogonal.
    if (!layer || dynamic_cast<const Embedding*>(layer)) continue;
    const at::Tensor w = layer->weight().flatten(1);
    at::Tensor products = at::mm(w, w.t());
    products.fill_diagonal_(0);
    layer->weight().grad().add_(at::mm(products, w).view(layer->weight().sizes()), 2 * options_.orthogonal);
  }
}

StepReport AdversarialMethod::step(std::int64_t step, const NextBatch& next) {
  Losses losses;
  for (std::int64_t sub_step = 0; sub_step < options_.d_steps; ++sub_step)
    update_discriminator(step, sub_step, next, losses);
  update_generator(step, losses);
  const double updates = static_cast<double>(options_.d_steps);
  StepReport report{{"loss_d", losses.discriminator / updates},
                    {"loss_g", losses.generator},
                    {"real_logit", losses.real_logit / updates},
                    {"fake_logit", losses.fake_logit / updates}};
  if (options_.penalty.weight > 0) report.emplace_back("penalty", losses.penalty / updates);
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
                          context_.device, context_.alive},
      context_.batch_norm);
}

namespace {

class AdversarialRecipe final : public MethodRecipe {
 public:
  explicit AdversarialRecipe(const Settings& settings) {
    if (const auto setting = settings.find("gan.network"); setting != settings.end())
      network_ = setting->second.value;
    networks_ = make_gan_networks(network_);
  }

  void describe(OptionSchema& schema) override {
    schema.add("gan.network", network_, gan_network_names(), "pair of networks");
    options_.describe(schema);
    networks_->describe(schema);
  }

  void check(std::int64_t micro_batch) const override {
    networks_->check();
    networks_->check_batch(micro_batch);
    options_.generator.check("generator");
    options_.discriminator.check("discriminator");
    if (options_.batch_norm_group > 0 && micro_batch % options_.batch_norm_group != 0)
      fail(ExitCode::options, "gan.batch_norm_group = {} does not divide the micro-batch of {} images",
           options_.batch_norm_group, micro_batch);
  }

  std::vector<std::string> warnings(std::int64_t steps) const override {
    std::vector<std::string> all{options_.generator.warning("generator", steps),
                                 options_.discriminator.warning("discriminator", steps * options_.d_steps)};
    std::erase(all, "");
    return all;
  }

  ImageSpec images() const override { return networks_->images(); }

  std::vector<std::pair<std::string, std::int64_t>> parameter_counts() const override {
    const auto count = [](const torch::nn::Module& network) {
      std::int64_t sum = 0;
      for (const at::Tensor& parameter : network.parameters()) sum += parameter.numel();
      return sum;
    };
    return {{"generator", count(*networks_->generator())},
            {"discriminator", count(*networks_->discriminator())}};
  }

  std::unique_ptr<Method> build(const MethodContext& context) const override {
    return std::make_unique<AdversarialMethod>(*networks_, options_, context);
  }

 private:
  std::string network_ = "biggan";
  std::unique_ptr<GanNetworks> networks_;
  AdversarialOptions options_;
};

}  // namespace

std::unique_ptr<MethodRecipe> make_adversarial_recipe(const Settings& settings) {
  return std::make_unique<AdversarialRecipe>(settings);
}

}  // namespace ganymede
