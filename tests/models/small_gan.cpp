#include "tests/models/small_gan.h"

#include "core/philox.h"

namespace ganymede::test {
namespace {

constexpr std::int64_t classes = 5, resolution = 32, channels = 3;

std::unique_ptr<MethodRecipe> recipe_of(const std::map<std::string, std::string>& options) {
  Settings settings;
  const auto set = [&](const std::string& key, const std::string& value) { settings[key] = {value, "test"}; };
  set("biggan.resolution", std::to_string(resolution));
  set("biggan.image_channels", std::to_string(channels));
  set("biggan.classes", std::to_string(classes));
  set("biggan.generator_channels", "2");
  set("biggan.discriminator_channels", "2");
  set("biggan.chunk", "4");
  set("biggan.shared", "6");
  set("biggan.attention", "16");
  // BigGAN's published rates: larger ones amplify rounding over the steps.
  set("generator.lr", "1e-4");
  set("generator.ema", "0.9");
  set("generator.ema_start", "3");
  set("discriminator.lr", "4e-4");
  set("discriminator.beta1", "0.5");
  for (const auto& [key, value] : options) set(key, value);
  auto recipe = make_method_recipe("adversarial", settings);
  OptionSchema schema;
  recipe->describe(schema);
  schema.apply(settings);
  return recipe;
}

}  // namespace

SmallGan::SmallGan(const SmallGanOptions& options, Communicator& gradients, Communicator& batch_norm)
    : recipe_(recipe_of(options.options)),
      micro_batch_(options.batch / options.accumulate),
      rank_(gradients.rank()),
      size_(gradients.size()),
      device_(options.device),
      dtype_(options.dtype) {
  recipe_->check(micro_batch_);
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
                            .alive = options.alive});
  method_->initialise();
  for (Player* player : method_->players()) {
    for (const auto& [name, tensor] : player->weights(false))
      if (name.ends_with(".gamma")) at::Tensor(tensor.detach()).fill_(options.attention);
    player->reset_average();
  }
}

Batch SmallGan::next() {
  const Share share = share_of(micro_batch_, rank_, size_);
  const std::int64_t first = position_ + share.first;
  const RandomStream pixels({.seed = 6, .phase = "data", .stream = "pixels"});
  const RandomStream labels({.seed = 6, .phase = "data", .stream = "label"});
  at::Tensor images =
      pixels.uniform(first, share.count, channels * resolution * resolution, at::kDouble) * 2 - 1;
  if (changed_ >= first && changed_ < first + share.count) images[changed_ - first].neg_();
  Batch batch{images.view({-1, channels, resolution, resolution}).contiguous(at::MemoryFormat::ChannelsLast),
              labels.integers(first, share.count, classes), position_, share};
  position_ += micro_batch_;
  batch.images = batch.images.to(device_, dtype_);
  batch.labels = batch.labels.to(device_);
  return batch;
}

Figures SmallGan::train(std::int64_t steps) {
  StepReport report;
  for (std::int64_t i = 0; i < steps; ++i) report = method_->step(++step_, [this] { return next(); });
  return figures_of(report);
}

NamedTensors SmallGan::state() {
  NamedTensors state;
  for (const Player* player : method_->players())
    for (const auto& [name, tensor] : player->state()) state.emplace_back(name, tensor.detach().clone());
  for (const auto& [name, tensor] : method_->state()) state.emplace_back(name, tensor.clone());
  return state;
}

void SmallGan::continue_from(SmallGan& other) {
  copy_tensors(other.method_->state(), method_->state());
  for (std::size_t i = 0; i < method_->players().size(); ++i) {
    Player &mine = *method_->players()[i], &theirs = *other.method_->players()[i];
    copy_tensors(theirs.state(), mine.state());
    mine.set_updates(theirs.updates());
  }
  step_ = other.step_;
  position_ = other.position_;
}

}  // namespace ganymede::test
