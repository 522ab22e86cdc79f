#include "models/diffusion/denoising.h"

#include "core/device.h"
#include "core/error.h"
#include "core/trace_range.h"
#include "models/diffusion/noisy_images.h"
#include "models/layers/weighted.h"

namespace ganymede {

void DenoisingOptions::describe(OptionSchema& schema) {
  schema.add("diffusion.loss", loss, {"mse", "l1"}, "what is taken of the network's error");
  schema.add("diffusion.label_dropout", label_dropout, "", {0, 1},
             "probability that an image is shown without its label, for guidance");
  schema.add("diffusion.source_channels", source_channels, "", {0, 64},
             "channels of the source beside each image of a dataset of pairs, 0 for none");
  schema.add("diffusion.source_dropout", source_dropout, "", {0, 1},
             "probability that an image is shown without its source, for guidance");
  schema.add("diffusion.augment", augment, "", {0, 1},
             "probability that an image is turned upside down, scaled, turned, stretched, moved, each by itself, which the "
             "network is told; above 0 half of the images are mirrored too, in the place of data.flip");
  schema.add("diffusion.recompute", recompute,
             "gradients take the network's blocks once more, whose maps are then not kept: less memory, a forward more",
             OnResume::free);
  text.describe(schema);
  if (first_stage) {
    schema.add("diffusion.flip", flip,
               "latents of mirrored images with probability 1/2, in the place of data.flip");
    first_stage->describe(schema);
  }
  denoiser.describe(schema, "denoiser");
  denoiser.describe_average(schema, "denoiser");
  schema.add("denoiser.ema_power", ema_power, {},
             "relative widths of averages with a power function's profile, 0.05,0.1 say, which checkpoints keep "
             "for --ema-sigma-rel of sample, evaluate and export to make one of any width of; none");
  draw.describe(schema);
}

DenoisingMethod::DenoisingMethod(const DenoiserNetwork& network, const DiffusionProcess& process,
                                 const DenoisingOptions& options, const MethodContext& context)
    : network_description_(network),
      process_(process),
      options_(options),
      context_(context),
      first_stage_(options.first_stage
                       ? std::make_shared<FirstStage>(*options.first_stage, context.dtype, context.device)
                       : nullptr),
      network_(network.build(shape())),
      player_("denoiser", network_, options.denoiser, context.dtype, context.device, context.gradients,
              context.bucket_bytes, context.scale_loss(), context.shard_optimizer),
      averages_(player_, power_widths("denoiser.ema_power", options.ema_power)) {}

DenoiserShape DenoisingOptions::shape(const DiffusionProcess& process) const {
  return {label_dropout > 0, process.learns_variance(), source_channels, text,
          augment > 0 ? augmentation_figures : 0};
}

void DenoisingMethod::initialise() {
  network_->initialise(context_.seed);
  if (first_stage_) first_stage_->initialise(context_.seed);
  player_.reset_average();
}

NamedTensors DenoisingMethod::state() const {
  NamedTensors state = averages_.state();
  if (first_stage_)
    for (auto& item : first_stage_->state()) state.push_back(std::move(item));
  return state;
}

std::vector<CollectiveCost> DenoisingMethod::costs_per_step(int /*ranks*/) const {
  std::vector<CollectiveCost> costs;
  add_update_costs(costs, player_);
  return costs;
}

at::Tensor DenoisingMethod::left_out(double probability, const RandomKey& key, std::int64_t first,
                                     std::int64_t count) const {
  RandomKey drop_key = key;
  drop_key.stream = "label dropout";
  return RandomStream(drop_key).uniform(first, count, 1, at::kDouble).squeeze(1) < probability;
}

TextCondition DenoisingMethod::told_text(const Batch& batch, const RandomKey& key, std::int64_t first) const {
  if (!options_.text.is_told()) return {};
  const bool tokens = options_.text.source == TextOptions::Source::tokens;
  TextCondition text{to_device(tokens ? batch.tokens : batch.embeddings, context_.device)};
  if (options_.text.is_left_out())
    text.without = to_device(left_out(options_.text.dropout, key, first, text.rows.size(0)), context_.device);
  return text;
}

at::Tensor DenoisingMethod::told(const at::Tensor& labels, const RandomKey& key, std::int64_t first) const {
  if (options_.label_dropout == 0) return labels.clamp_min(0);
  const at::Tensor dropped = left_out(options_.label_dropout, key, first, labels.size(0));
  // An image without a label is what the network learns to do without one from.
  return labels.masked_fill(to_device(dropped, labels.device()).logical_or(labels < 0),
                            network_description_.images().classes);
}

at::Tensor DenoisingMethod::beside_source(const at::Tensor& x, const Batch& batch, const RandomKey& key,
                                          std::int64_t first) const {
  if (options_.source_channels == 0) return x;
  at::Tensor source = batch.sources.to(x.device(), x.scalar_type());
  if (options_.source_dropout > 0) {
    const at::Tensor dropped = left_out(options_.source_dropout, key, first, x.size(0)).view({-1, 1, 1, 1});
    source = source.masked_fill(to_device(dropped, x.device()), 0);
  }
  return at::cat({x, source}, 1);
}

Augmented DenoisingMethod::clean(const Batch& batch, const RandomKey& key, std::int64_t first) const {
  if (options_.augment > 0) return augmented(batch.images, options_.augment, key, first);
  if (!first_stage_) return {batch.images, {}};
  const at::NoGradGuard no_grad;
  const AutoencoderOptions& options = *options_.first_stage;
  const std::int64_t count = batch.images.size(0), side = options.latent_size();
  RandomKey flip_key = key, posterior_key = key;
  flip_key.stream = "flip";
  posterior_key.stream = "posterior";
  const at::Tensor mirrored =
      RandomStream(flip_key).uniform(first, count, 1, at::kDouble).squeeze(1) < (options_.flip ? 0.5 : 0);
  const at::Tensor eps = RandomStream(posterior_key)
                             .normal(first, count, options.latent_channels * side * side, context_.dtype)
                             .view({count, options.latent_channels, side, side});
  return {first_stage_->latents(batch.images, to_device(mirrored, context_.device), to_device(eps, context_.device)),
          {}};
}

DenoisingMethod::Losses DenoisingMethod::losses(const Batch& batch, const RandomKey& key,
                                                std::int64_t first) {
  const auto [x0, changes] = clean(batch, key, first);
  const std::int64_t width = x0.numel() / x0.size(0), channels = x0.size(1);
  const auto [xt, eps, times, c] = noisy_images(process_, x0, key, first);
  const at::Tensor labels = told(batch.labels, key, first);
  const DenoiserContext forward{context_.activations, LayerDraws{key, first}, told_text(batch, key, first), changes,
                                options_.recompute};
  const at::Tensor seen = beside_source(per_image(c.scale, x0) * xt, batch, key, first);
  const at::Tensor out = network_->forward(seen, to_device(c.condition, context_.device), labels, forward);
  const at::Tensor f = out.narrow(1, 0, channels);
  const at::Tensor target = per_image(c.target_image, x0) * x0 + per_image(c.target_noise, x0) * eps;
  const double share = 1.0 / static_cast<double>(context_.batch);
  const at::Tensor difference = f - target;
  const at::Tensor distance = options_.loss == "l1" ? difference.abs() : difference.square();
  const at::Tensor error = (per_image(c.weight, x0) * distance).sum() / static_cast<double>(width);
  show("denoiser.x0", x0);
  show("denoiser.eps", eps);
  show("denoiser.times", times);
  show("denoiser.labels", labels);
  show("denoiser.input", seen);
  if (forward.text.without.defined()) show("denoiser.without_text", forward.text.without);
  if (changes.defined()) show("denoiser.changes", changes);
  show("denoiser.output", out);
  if (!process_.learns_variance()) return {error * share, {}};
  const at::Tensor estimate = per_image(c.keep, x0) * xt + per_image(c.gain, x0) * f.detach();
  const at::Tensor bound = process_.bound(x0, xt, estimate, out.narrow(1, channels, channels), times).sum();
  return {error * share, bound * share};
}

StepReport DenoisingMethod::step(std::int64_t step, const NextBatch& next) {
  const TraceRange range("denoiser");
  const RandomKey key{.seed = context_.seed,
                      .reseed = context_.reseed,
                      .phase = "denoiser",
                      .step = static_cast<std::uint64_t>(step)};
  const auto add = [](at::Tensor& sum, const at::Tensor& part) {
    const at::Tensor figure = part.detach().to(at::kDouble);
    sum = sum.defined() ? sum + figure : figure;
  };
  at::Tensor error, bound;
  begin_phase(*network_, true);
  player_.zero_gradients();
  for (std::int64_t micro_step = 0; micro_step < context_.accumulate; ++micro_step) {
    const Batch batch = next();
    context_.note("denoiser update");
    if (micro_step + 1 == context_.accumulate) player_.reducer().arm();
    const Losses part = losses(batch, key, micro_step * context_.micro_batch() + batch.share.first);
    add(error, part.error);
    if (part.bound.defined()) add(bound, part.bound);
    const at::Tensor loss = part.bound.defined() ? part.error + bound_share() * part.bound : part.error;
    show("denoiser.loss", loss);
    player_.backward(loss);
  }
  player_.finish_gradients();
  if (observe)
    for (const auto& [name, gradient] : player_.gradients()) show("denoiser.gradient." + name, gradient);
  player_.update();
  averages_.follow();
  StepReport report{{"loss", error}};
  if (bound.defined()) report.emplace_back("bound", bound);
  return report;
}

namespace {

/// What samples are drawn from beside labels; empty where networks are told no captions.
std::function<at::Tensor(std::int64_t, std::int64_t)> captions_for(const TextOptions& text,
                                                                   const SampleOptions& options) {
  if (!text.is_told()) return {};
  const auto& captions = text.source == TextOptions::Source::tokens ? options.tokens : options.embeddings;
  if (!captions)
    fail(ExitCode::options,
         "this network follows captions: name a dataset that has some by --conditions, or give --caption");
  return captions;
}

}  // namespace

std::unique_ptr<Sampler> DenoisingMethod::sampler(const SampleOptions& options) {
  const bool average = options.ema && player_.has_average();
  auto network = network_description_.build(shape());
  network->to(context_.device, context_.dtype);
  copy_tensors(player_.weights(average), parameters_of(*network));
  copy_tensors(player_.buffers(average), buffers_of(*network));
  std::function<at::Tensor(const at::Tensor&)> decode;
  if (first_stage_)
    decode = [stage = first_stage_, maps = context_.activations](const at::Tensor& latents) {
      return stage->images(latents, maps);
    };
  return std::make_unique<DiffusionSampler>(
      std::move(network), process_, options_.draw,
      DiffusionSampler::Setting{.seed = options.seed,
                                .images = network_description_.images(),
                                .without_label = options_.label_dropout > 0,
                                .activations = context_.activations,
                                .dtype = context_.dtype,
                                .device = context_.device,
                                .alive = context_.alive,
                                .decode = decode,
                                .has_sources = options_.source_channels > 0,
                                .without_source = options_.source_dropout > 0,
                                .sources = options.sources,
                                .captions = captions_for(options_.text, options),
                                .without_caption = options_.text.is_left_out()});
}

namespace {

class DenoisingRecipe final : public MethodRecipe {
 public:
  explicit DenoisingRecipe(const Settings& settings) {
    const auto choose = [&](const char* key, std::string& choice) {
      if (const auto setting = settings.find(key); setting != settings.end()) choice = setting->second.value;
    };
    choose("diffusion.network", network_name_);
    choose("diffusion.process", process_name_);
    choose("diffusion.first_stage", first_stage_name_);
    choose("diffusion.text", text_name_);
    options_.text.source = text_source_named(text_name_);
    if (first_stage_name_ == "autoencoder") options_.first_stage.emplace();
    network_ = make_denoiser_network(network_name_);
    process_ = make_diffusion_process(process_name_);
  }

  void describe(OptionSchema& schema) override {
    schema.add("diffusion.network", network_name_, denoiser_names(), "what denoises");
    schema.add("diffusion.process", process_name_, diffusion_process_names(),
               "how images become noise, and what is learned of it");
    schema.add("diffusion.first_stage", first_stage_name_, {"none", "autoencoder"},
               "none: images are diffused; autoencoder: latents of one, which train --first-stage names");
    schema.add(
        "diffusion.text", text_name_, text_sources(),
        "captions that are followed: tokens, by a text encoder that learns too; embeddings of the dataset");
    options_.describe(schema);
    process_->describe(schema);
    network_->describe(schema);
  }

  void check(std::int64_t /*micro_batch*/) const override {
    network_->check();
    process_->check();
    options_.denoiser.check("denoiser");
    power_widths("denoiser.ema_power", options_.ema_power);
    if (options_.label_dropout > 0 && images().classes == 1)
      fail(ExitCode::options,
           "diffusion.label_dropout = {}: there is one class, so there is no label to leave out",
           options_.label_dropout);
    if (options_.source_dropout > 0 && options_.source_channels == 0)
      fail(ExitCode::options,
           "diffusion.source_dropout = {}: there are no sources, diffusion.source_channels = 0",
           options_.source_dropout);
    options_.text.check();
    if (options_.text.is_told() && !network_->takes_text())
      fail(ExitCode::options,
           "diffusion.text = {}: captions are told to unet alone, without unet.class_context: set "
           "diffusion.network = unet, or diffusion.text = none",
           text_name_);
    options_.draw.check(*process_, options_.leaves_out());
    check_augmentation();
    check_first_stage();
  }

  void check_flip() const override {
    if (options_.first_stage)
      fail(ExitCode::options,
           "data.flip = true: a mirrored latent is not that of the mirrored image: set diffusion.flip = true "
           "in its place");
    if (options_.augment > 0)
      fail(ExitCode::options,
           "data.flip = true: diffusion.augment mirrors images itself, and tells the network: set data.flip = false");
  }

  void check_sampling(const SampleOptions& options) const override {
    if (options.truncation > 0)
      fail(ExitCode::options, "--truncation is of a GAN's z: a diffusion model takes --sampler.guidance");
    if (options.psi != 1)
      fail(ExitCode::options, "--psi is of a GAN's styles: a diffusion model takes --sampler.guidance");
    if (options.batch_norm != "running")
      fail(ExitCode::options, "--batchnorm {}: this network has no batch norm", options.batch_norm);
  }

  std::vector<std::string> warnings(std::int64_t steps) const override {
    std::vector<std::string> all{options_.denoiser.warning("denoiser", steps)};
    std::erase(all, "");
    return all;
  }

  ImageSpec images() const override {
    ImageSpec spec = network_->images();
    options_.text.ask_for(spec);
    if (options_.first_stage) spec.channels = StoredLatents::channels(*options_.first_stage);
    if (options_.source_channels > 0) spec.sources = SourceImages::paired;
    spec.source_channels = options_.source_channels;
    return spec;
  }

  ImageSpec samples() const override {
    ImageSpec spec = network_->images();
    options_.text.ask_for(spec);
    if (!options_.first_stage) return spec;
    const CoderOptions& coder = options_.first_stage->coder;
    spec.channels = coder.image_channels;
    spec.height = spec.width = coder.resolution;
    return spec;
  }

  /// With fixed tables (the places' embedding), as papers count.
  std::vector<std::pair<std::string, std::int64_t>> parameter_counts() const override {
    const auto network = network_->build(options_.shape(*process_));
    std::int64_t sum = 0;
    for (const at::Tensor& parameter : network->parameters()) sum += parameter.numel();
    for (const at::Tensor& table : network->buffers()) sum += table.numel();
    if (!options_.first_stage) return {{"denoiser", sum}};
    std::int64_t of_first_stage = 0;
    for (const at::Tensor& parameter : Autoencoder(*options_.first_stage).parameters())
      of_first_stage += parameter.numel();
    return {{"denoiser", sum}, {"first_stage", of_first_stage}};
  }

  std::unique_ptr<Method> build(const MethodContext& context) const override {
    return std::make_unique<DenoisingMethod>(*network_, *process_, options_, context);
  }

 private:
  void check_augmentation() const {
    if (options_.augment == 0) return;
    if (!network_->takes_augmentation())
      fail(ExitCode::options,
           "diffusion.augment = {}: diffusion.network = {} cannot be told what was done to an image: set it to ddpmpp, or "
           "diffusion.augment = 0",
           options_.augment, network_name_);
    if (options_.first_stage || options_.source_channels > 0)
      fail(ExitCode::options,
           "diffusion.augment = {} changes images alone, not latents or sources: set it to 0, or leave these out",
           options_.augment);
    if (network_->images().height < 8)
      fail(ExitCode::options, "diffusion.augment = {} warps images of at least 8 x 8 pixels, and these are {} x {}: set it to 0",
           options_.augment, network_->images().height, network_->images().width);
  }

  void check_first_stage() const {
    if (!options_.first_stage) return;
    const AutoencoderOptions& stage = *options_.first_stage;
    stage.check();
    if (options_.source_channels > 0)
      fail(ExitCode::options,
           "diffusion.source_channels = {}: sources stand beside pixels, and diffusion.first_stage = {} "
           "makes latents "
           "of these: set one of them to its default",
           options_.source_channels, first_stage_name_);
    const ImageSpec latents = network_->images();
    if (latents.channels != stage.latent_channels || latents.height != stage.latent_size() ||
        latents.width != stage.latent_size())
      fail(ExitCode::options,
           "diffusion.network = {} takes {} x {} x {}, and latents are {} x {} x {}: set {}.image_channels "
           "and "
           "{}.resolution to these",
           network_name_, latents.channels, latents.height, latents.width, stage.latent_channels,
           stage.latent_size(), stage.latent_size(), network_name_, network_name_);
    if (options_.draw.clip)
      fail(ExitCode::options, "sampler.clip = true: latents are not bounded as images are, set it to false");
  }

  std::string network_name_ = "unet", process_name_ = "ddpm", first_stage_name_ = "none", text_name_ = "none";
  std::unique_ptr<DenoiserNetwork> network_;
  std::unique_ptr<DiffusionProcess> process_;
  DenoisingOptions options_;
};

}  // namespace

std::unique_ptr<MethodRecipe> make_denoising_recipe(const Settings& settings) {
  return std::make_unique<DenoisingRecipe>(settings);
}

}  // namespace ganymede
