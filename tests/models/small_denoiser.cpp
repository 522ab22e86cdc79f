#include "tests/models/small_denoiser.h"

#include "core/philox.h"
#include "models/first_stages/first_stage.h"

namespace ganymede::test {

namespace {

std::unique_ptr<MethodRecipe> made_recipe(const std::string& method, const Settings& settings) {
  auto recipe = make_method_recipe(method, settings);
  OptionSchema schema;
  recipe->describe(schema);
  schema.apply(settings);
  recipe->check(1);
  return recipe;
}

}  // namespace

std::unique_ptr<MethodRecipe> small_denoiser_recipe(const std::map<std::string, std::string>& options) {
  Settings settings;
  const auto set = [&](const std::string& key, const std::string& value) { settings[key] = {value, "test"}; };
  const auto network = options.find("diffusion.network"), method = options.find("train.method");
  if (method != options.end()) {
    set("half_unet.resolution", std::to_string(SmallDenoiser::resolution));
    set("half_unet.image_channels", std::to_string(SmallDenoiser::channels));
    set("half_unet.classes", std::to_string(SmallDenoiser::classes));
    set("half_unet.channels", "8,16");
    set("half_unet.blocks", "1");
    set("half_unet.attention", "8");
    set("half_unet.head_channels", "8");
    set("half_unet.groups", "4");
    set("half_unet.dropout", "0.2");
    set("classifier.lr", "1e-3");
    set("classifier.ema", "0.9");
    for (const auto& [key, value] : options)
      if (key != method->first) set(key, value);
    return made_recipe(method->second, settings);
  }
  if (network != options.end() && network->second == "dit") {
    set("dit.resolution", std::to_string(SmallDenoiser::resolution));
    set("dit.image_channels", std::to_string(SmallDenoiser::channels));
    set("dit.classes", std::to_string(SmallDenoiser::classes));
    set("dit.depth", "2");
    set("dit.width", "16");
    set("dit.heads", "2");
  } else if (network != options.end() && network->second == "ddpmpp") {
    set("ddpmpp.resolution", std::to_string(SmallDenoiser::resolution));
    set("ddpmpp.image_channels", std::to_string(SmallDenoiser::channels));
    set("ddpmpp.classes", std::to_string(SmallDenoiser::classes));
    set("ddpmpp.base", "8");
    set("ddpmpp.channels", "8,16");
    set("ddpmpp.blocks", "1");
    set("ddpmpp.attention", "4");
    set("ddpmpp.groups", "4");
    set("ddpmpp.dropout", "0.2");
  } else {
    set("unet.resolution", std::to_string(SmallDenoiser::resolution));
    set("unet.image_channels", std::to_string(SmallDenoiser::channels));
    set("unet.classes", std::to_string(SmallDenoiser::classes));
    set("unet.channels", "8,16");
    set("unet.blocks", "1");
    set("unet.attention", "4");
    set("unet.groups", "4");
    set("unet.dropout", "0.2");
  }
  set("diffusion.label_dropout", "0.3");
  set("denoiser.lr", "1e-3");
  set("denoiser.ema", "0.9");
  set("sampler.steps", "4");
  for (const auto& [key, value] : options) set(key, value);
  return made_recipe("denoising", settings);
}

SmallDenoiser::SmallDenoiser(const SmallDenoiserOptions& options, Communicator& gradients)
    : options_(options),
      recipe_(small_denoiser_recipe(options.options)),
      micro_batch_(options.batch / options.accumulate),
      rank_(gradients.rank()),
      size_(gradients.size()) {
  method_ = recipe_->build({.gradients = gradients,
                            .batch_norm = gradients,
                            .batch = options.batch,
                            .accumulate = options.accumulate,
                            .seed = 11,
                            .dtype = options.dtype,
                            .activations = options.activations,
                            .bucket_bytes = 8192,
                            .shard_optimizer = options.shard_optimizer});
  method_->initialise();
}

at::Tensor SmallDenoiser::captions(const ImageSpec& spec, std::int64_t first, std::int64_t count) {
  const RandomStream stream({.seed = 6, .phase = "data", .stream = "caption"});
  if (spec.tokens > 0)
    return stream.integers(first * spec.tokens, count * spec.tokens, spec.vocabulary)
        .view({count, spec.tokens});
  if (spec.embedding == 0) return {};
  const std::int64_t rows = std::max<std::int64_t>(1, spec.embedding_rows);
  return stream.normal(first, count, rows * spec.embedding, at::kFloat).view({count, rows, spec.embedding});
}

Batch SmallDenoiser::next() {
  const Share share = share_of(micro_batch_, rank_, size_);
  const std::int64_t first = (options_.few_images ? position_ % options_.batch : position_) + share.first;
  const RandomStream pixels({.seed = 6, .phase = "data", .stream = "pixels"});
  const RandomStream labels({.seed = 6, .phase = "data", .stream = "label"});
  const std::int64_t rows = recipe_->images().channels;
  at::Tensor images = pixels.uniform(first, share.count, rows * resolution * resolution, at::kDouble) * 2 - 1;
  if (rows != channels) images = images / StoredLatents::range;
  Batch batch{images.view({-1, rows, resolution, resolution})
                  .contiguous(at::MemoryFormat::ChannelsLast)
                  .to(options_.dtype),
              labels.integers(first, share.count, classes), position_, share};
  const ImageSpec spec = recipe_->images();
  if (spec.sources == SourceImages::paired) batch.sources = sources(first, share.count).to(options_.dtype);
  batch.tokens = captions(spec, first, share.count);
  batch.embeddings =
      captions({.embedding = spec.embedding, .embedding_rows = spec.embedding_rows}, first, share.count);
  position_ += micro_batch_;
  return batch;
}

at::Tensor SmallDenoiser::sources(std::int64_t first, std::int64_t count) const {
  const std::int64_t rows = recipe_->images().source_channels;
  return (RandomStream({.seed = 6, .phase = "data", .stream = "source"})
                  .uniform(first, count, rows * resolution * resolution, at::kDouble) *
              2 -
          1)
      .view({count, rows, resolution, resolution})
      .contiguous(at::MemoryFormat::ChannelsLast);
}

std::vector<double> SmallDenoiser::train(std::int64_t steps) {
  std::vector<double> losses;
  for (std::int64_t i = 0; i < steps; ++i)
    losses.push_back(figures_of(method_->step(++step_, [this] { return next(); }))[0].second);
  return losses;
}

NamedTensors SmallDenoiser::state() {
  NamedTensors state;
  player().visit_state([&](const NamedTensors& kind) {
    for (const auto& [name, tensor] : kind) state.emplace_back(name, tensor.detach().clone());
  });
  for (const auto& [name, tensor] : method_->state()) state.emplace_back(name, tensor.detach().clone());
  return state;
}

void SmallDenoiser::restore(const NamedTensors& state, std::int64_t step) {
  player().change_state([&](const NamedTensors& kind) { copy_common(state, kind); });
  copy_common(state, method_->state());
  player().set_updates(step);
  step_ = step;
  position_ = step * options_.batch;
}

}  // namespace ganymede::test
