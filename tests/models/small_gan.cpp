#include "tests/models/small_gan.h"

#include "core/philox.h"

namespace ganymede::test {
namespace {

std::unique_ptr<MethodRecipe> recipe_of(const std::string& method, const std::string& network,
                                        const std::map<std::string, std::string>& options) {
  Settings settings;
  const auto set = [&](const std::string& key, const std::string& value) { settings[key] = {value, "test"}; };
  set("gan.network", network);
  for (const auto& [key, value] : narrow_options(network)) set(network + "." + key, value);
  // BigGAN's published rates: larger ones amplify rounding over the steps.
  set("generator.lr", "1e-4");
  set("generator.ema", "0.9");
  set("generator.ema_start", "3");
  set("discriminator.lr", "4e-4");
  set("discriminator.beta1", "0.5");
  for (const auto& [key, value] : options) set(key, value);
  auto recipe = make_method_recipe(method, settings);
  OptionSchema schema;
  recipe->describe(schema);
  schema.apply(settings);
  return recipe;
}

}  // namespace

const std::map<std::string, std::string>& narrow_options(const std::string& network) {
  static const std::map<std::string, std::map<std::string, std::string>> table{
      {"autoencoding", {{"resolution", "16"}, {"channels", "2"}, {"latent", "6"}}},
      {"biggan",
       {{"resolution", "32"},
        {"image_channels", "3"},
        {"classes", "5"},
        {"generator_channels", "2"},
        {"discriminator_channels", "2"},
        {"chunk", "4"},
        {"shared", "6"},
        {"attention", "16"}}},
      {"biggan_deep",
       {{"resolution", "32"},
        {"classes", "5"},
        {"generator_channels", "4"},
        {"discriminator_channels", "4"},
        {"latent", "5"},
        {"shared", "6"},
        {"attention", "16"}}},
      {"dcgan",
       {{"resolution", "16"},
        {"variant", "paper"},
        {"latent", "6"},
        {"generator_channels", "4"},
        {"discriminator_channels", "4"}}},
      {"fully_connected",
       {{"image_channels", "2"},
        {"height", "3"},
        {"width", "4"},
        {"classes", "5"},
        {"conditioning", "concatenation"},
        {"latent", "6"},
        {"generator_widths", "9, 8"},
        {"discriminator_widths", "7, 6"},
        {"pieces", "3"}}},
      {"progressive",
       {{"resolution", "16"},
        {"alpha", "0.6"},
        {"classes", "5"},
        {"conditioning", "concatenation"},
        {"channel_base", "64"},
        {"most_channels", "12"},
        {"latent", "6"},
        {"deviation_group", "3"}}},
      {"sngan",
       {{"resolution", "32"},
        {"classes", "5"},
        {"conditioning", "projection"},
        {"generator_channels", "4"},
        {"discriminator_channels", "4"},
        {"latent", "6"}}},
      {"stylegan",
       {{"resolution", "16"},
        {"alpha", "0.6"},
        {"classes", "5"},
        {"conditioning", "projection"},
        {"channel_base", "64"},
        {"most_channels", "12"},
        {"latent", "6"},
        {"style", "7"},
        {"mapping_layers", "2"},
        {"style_mixing", "0.5"},
        {"deviation_group", "3"}}},
      {"stylegan2",
       {{"resolution", "16"},
        {"classes", "5"},
        {"conditioning", "projection"},
        {"channel_base", "128"},
        {"most_channels", "12"},
        {"latent", "6"},
        {"style", "7"},
        {"mapping_layers", "2"},
        {"style_mixing", "0.5"},
        {"deviation_group", "3"}}},
  };
  const auto found = table.find(network);
  if (found == table.end()) throw std::logic_error("no narrow version of " + network);
  return found->second;
}

SmallGan::SmallGan(const SmallGanOptions& options, Communicator& gradients, Communicator& batch_norm)
    : recipe_(recipe_of(options.method, options.network, options.options)),
      stages_(recipe_->stages(options.batch)),
      accumulate_(options.accumulate),
      rank_(gradients.rank()),
      size_(gradients.size()),
      device_(options.device),
      dtype_(options.dtype) {
  for (const Stage& stage : stages_) recipe_->check(stage.batch / accumulate_);
  method_ = recipe_->build({.gradients = gradients,
                            .batch_norm = batch_norm,
                            .batch = options.batch,
                            .accumulate = options.accumulate,
                            .seed = 11,
                            .reseed = options.reseed,
                            .dtype = options.dtype,
                            .activations = options.activations,
                            .device = options.device,
                            .bucket_bytes = 8192,
                            .shard_optimizer = options.shard_optimizer,
                            .alive = options.alive});
  method_->initialise();
  for (Player* player : method_->players()) {
    for (const auto& [name, tensor] : player->weights(false))
      if (name.ends_with(".gamma")) at::Tensor(tensor.detach()).fill_(options.attention);
    // StyleGAN's first map is flat while its noise is nothing: AdaIN then divides by epsilon, rounding errors too.
    for (const auto& [name, tensor] : player->weights(false))
      if (name.ends_with(".noise_scale")) at::Tensor(tensor.detach()).fill_(0.1);
    player->reset_average();
  }
}

Batch SmallGan::next() {
  const ImageSpec spec = recipe_->images();
  const std::int64_t micro_batch = stage().batch / accumulate_;
  const Share share = share_of(micro_batch, rank_, size_);
  const std::int64_t first = taken_ + share.first;
  const RandomStream pixels({.seed = 6, .phase = "data", .stream = "pixels"});
  const RandomStream labels({.seed = 6, .phase = "data", .stream = "label"});
  at::Tensor images =
      pixels.uniform(first, share.count, spec.channels * spec.height * spec.width, at::kDouble) * 2 - 1;
  if (changed_ >= first && changed_ < first + share.count) images[changed_ - first].neg_();
  images = images.view({-1, spec.channels, spec.height, spec.width});
  if (const std::int64_t shrink = stage().shrink; shrink > 1) images = at::avg_pool2d(images, shrink);
  Batch batch{images.contiguous(at::MemoryFormat::ChannelsLast),
              labels.integers(first, share.count, spec.classes), taken_, share};
  if (spec.embedding > 0) {
    const RandomStream texts({.seed = 6, .phase = "data", .stream = "text"});
    const at::Tensor all = texts.normal(taken_, micro_batch, spec.embedding, at::kFloat);
    batch.embeddings = all.narrow(0, share.first, share.count).to(device_);
    batch.other_embeddings = all.roll(-micro_batch / 2, 0).narrow(0, share.first, share.count).to(device_);
  }
  taken_ += micro_batch;
  batch.images = batch.images.to(device_, dtype_);
  batch.labels = batch.labels.to(device_);
  return batch;
}

Figures SmallGan::train(std::int64_t steps) {
  StepReport report;
  for (std::int64_t i = 0; i < steps; ++i) {
    report = method_->step(++step_, [this] { return next(); });
    position_ = taken_;
    method_->move_to(position_);
  }
  return figures_of(report);
}

NamedTensors whole_state(const Player& player) {
  NamedTensors state;
  player.visit_state([&](const NamedTensors& kind) {
    for (const auto& [name, tensor] : kind) state.emplace_back(name, tensor.detach().clone());
  });
  return state;
}

NamedTensors SmallGan::state() {
  NamedTensors state;
  for (const Player* player : method_->players())
    for (auto& item : whole_state(*player)) state.push_back(std::move(item));
  for (const auto& [name, tensor] : method_->state()) state.emplace_back(name, tensor.clone());
  return state;
}

void SmallGan::continue_from(SmallGan& other) {
  taken_ = position_ = other.position_;
  method_->move_to(position_);
  copy_tensors(other.method_->state(), method_->state());
  for (std::size_t i = 0; i < method_->players().size(); ++i) {
    Player &mine = *method_->players()[i], &theirs = *other.method_->players()[i];
    const NamedTensors state = whole_state(theirs);
    mine.change_state([&](const NamedTensors& kind) { copy_common(state, kind); });
    mine.set_updates(theirs.updates());
  }
  step_ = other.step_;
}

}  // namespace ganymede::test
