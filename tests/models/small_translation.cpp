#include "tests/models/small_translation.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/philox.h"
#include "tests/distributed/recording_communicator.h"
#include "tests/distributed/world.h"
#include "tests/models/states.h"

namespace ganymede::test {
namespace {

const std::map<std::string, std::string>& narrow(const std::string& method) {
  static const std::map<std::string, std::map<std::string, std::string>> table{
      {"pix2pix",
       {{"height", "16"},
        {"width", "8"},
        {"image_channels", "2"},
        {"depth", "3"},
        {"generator_channels", "4"},
        {"discriminator_channels", "4"},
        {"dropout_blocks", "1"},
        {"patch_layers", "1"}}},
      {"cyclegan",
       {{"height", "8"},
        {"width", "12"},
        {"image_channels", "2"},
        {"identity", "0"},
        {"blocks", "1"},
        {"generator_channels", "4"},
        {"discriminator_channels", "4"},
        {"pool", "3"},
        {"patch_layers", "1"}}},
      {"autoencoder",
       {{"first_stage.resolution", "16"},
        {"first_stage.image_channels", "2"},
        {"first_stage.channels", "4,8"},
        {"first_stage.groups", "2"},
        {"first_stage.blocks", "1"},
        {"first_stage.latent_channels", "2"},
        {"first_stage.codes", "12"},
        {"reconstruction.discriminator_channels", "4"},
        {"reconstruction.patch_layers", "1"},
        {"reconstruction.kl", "1e-2"},
        {"reconstruction.adversarial_from", "2"},
        {"autoencoder.lr", "1e-3"},
        {"discriminator.lr", "1e-3"}}},
  };
  return table.at(method);
}

/// Images [count, channels, H, W] of a set.
at::Tensor drawn(const char* set, const ImageSpec& spec, std::int64_t channels, std::int64_t first,
                 std::int64_t count) {
  const RandomStream values({.seed = 6, .phase = "data", .stream = set});
  const std::int64_t height = spec.height / 4, width = spec.width / 4;
  const at::Tensor coarse = (values.uniform(first, count, channels * height * width, at::kDouble) * 2 - 1)
                                .view({count, channels, height, width});
  return at::upsample_bilinear2d(coarse, {spec.height, spec.width}, /*align_corners=*/false);
}

}  // namespace

std::unique_ptr<MethodRecipe> small_translation_recipe(const SmallTranslationOptions& options) {
  Settings settings;
  const auto set = [&](const std::string& key, const std::string& value) { settings[key] = {value, "test"}; };
  for (const auto& [key, value] : narrow(options.method))
    set(key.find('.') == key.npos ? options.method + "." + key : key, value);
  // Where a true gradient is zero, Adam's eps of everyday makes steps of its rounding errors.
  const std::string player = options.method == "autoencoder" ? options.method : "generator";
  set(player + ".eps", "1e-3");
  set("discriminator.eps", "1e-3");
  set(player + ".ema", "0.9");
  for (const auto& [key, value] : options.options) set(key, value);
  auto recipe = make_method_recipe(options.method, settings);
  OptionSchema schema;
  recipe->describe(schema);
  schema.apply(settings);
  recipe->check(options.batch / options.accumulate);
  return recipe;
}

SmallTranslation::SmallTranslation(const SmallTranslationOptions& options, Communicator& gradients,
                                   Communicator& batch_norm)
    : options_(options),
      recipe_(small_translation_recipe(options)),
      rank_(gradients.rank()),
      size_(gradients.size()) {
  method_ = recipe_->build({.gradients = gradients,
                            .batch_norm = batch_norm,
                            .batch = options.batch,
                            .accumulate = options.accumulate,
                            .seed = 11,
                            .dtype = options.dtype,
                            .activations = options.activations,
                            .bucket_bytes = 4096});
  method_->initialise();
}

at::Tensor SmallTranslation::sources(std::int64_t first, std::int64_t count) const {
  return drawn("sources", images(), images().source_channels, first, count);
}

at::Tensor SmallTranslation::targets(std::int64_t first, std::int64_t count) const {
  return drawn("images", images(), images().channels, first, count);
}

Batch SmallTranslation::next() {
  const std::int64_t micro_batch = options_.batch / options_.accumulate;
  const Share share = share_of(micro_batch, rank_, size_);
  const std::int64_t first = (options_.few_images ? taken_ % options_.batch : taken_) + share.first;
  const auto as_read = [](const at::Tensor& images, at::ScalarType type) {
    return images.to(type).contiguous(at::MemoryFormat::ChannelsLast);
  };
  Batch batch{as_read(targets(first, share.count), options_.dtype), at::full({share.count}, -1, at::kLong),
              taken_, share};
  batch.sources = as_read(sources(first, share.count), at::kFloat);
  taken_ += micro_batch;
  return batch;
}

Figures SmallTranslation::train(std::int64_t steps) {
  StepReport report;
  for (std::int64_t i = 0; i < steps; ++i) report = method_->step(++step_, [this] { return next(); });
  return figures_of(report);
}

NamedTensors SmallTranslation::state() {
  NamedTensors state;
  for (const Player* player : method_->players())
    for (const auto& [name, tensor] : player->state()) state.emplace_back(name, tensor.detach().clone());
  for (const auto& [name, tensor] : method_->state()) state.emplace_back(name, tensor.clone());
  return state;
}

void SmallTranslation::continue_from(SmallTranslation& other) {
  copy_tensors(other.method_->state(), method_->state());
  for (std::size_t i = 0; i < method_->players().size(); ++i) {
    Player &mine = *method_->players()[i], &theirs = *other.method_->players()[i];
    copy_tensors(theirs.state(), mine.state());
    mine.set_updates(theirs.updates());
  }
  taken_ = other.taken_;
  step_ = other.step_;
}

void expect_as_on_one_rank(const SmallTranslationOptions& options, std::int64_t steps) {
  const auto gradients = world().duplicate("gradients"), norms = world().duplicate("batch norm");
  SmallTranslation run(options, *gradients, *norms);
  Figures report = run.train(steps);
  for (auto& [name, figure] : report) figure = sum_over_ranks(figure);
  for (const auto& [name, tensor] : run.state()) EXPECT_TRUE(equal_on_all_ranks(tensor)) << name;
  // One rank's verdict is enough; the others wait.
  std::string where;
  double worst = 0;
  if (world().rank() == 0) {
    const auto alone = make_single_communicator();
    SmallTranslation reference(options, *alone, *alone);
    const Figures expected = reference.train(steps);
    worst = difference(run.state(), reference.state(), where);
    for (std::size_t i = 0; i < expected.size(); ++i)
      EXPECT_NEAR(report[i].second, expected[i].second, 1e-9 * (1 + std::abs(expected[i].second)))
          << expected[i].first;
  }
  EXPECT_TRUE(everywhere(worst <= 1e-9)) << where << " is off by " << worst;
}

void expect_repeats_and_continues(const SmallTranslationOptions& options, std::int64_t steps) {
  SmallTranslation whole(options, world(), world()), again(options, world(), world()),
      continued(options, world(), world());
  whole.train(steps - 1);
  continued.train(1);  // what it has is to be replaced
  continued.continue_from(whole);
  whole.train(1);
  continued.train(1);
  again.train(steps);
  EXPECT_TRUE(everywhere(same(whole.state(), continued.state()) && same(whole.state(), again.state())));
}

void expect_costs_are_sent(const SmallTranslationOptions& options) {
  RecordingCommunicator gradients(world()), norms(world());
  SmallTranslation run(options, gradients, norms);
  run.train(1);
  gradients.calls.clear();
  norms.calls.clear();
  run.train(1);
  CollectiveCost reduced, mixed;
  for (const CollectiveCost& cost : run.method().costs_per_step(world().size())) {
    CollectiveCost& sum = cost.what.ends_with(" gradients") ? reduced : mixed;
    sum.count += cost.count;
    sum.bytes += cost.bytes;
  }
  EXPECT_GT(reduced.count, 2);
  EXPECT_EQ(static_cast<std::int64_t>(gradients.calls.size()), reduced.count);
  EXPECT_EQ(gradients.bytes(), reduced.bytes);
  EXPECT_EQ(static_cast<std::int64_t>(norms.calls.size()), mixed.count);
  EXPECT_EQ(norms.bytes(), mixed.bytes);
}

void expect_refused(const std::string& what, const std::function<void()>& act) {
  try {
    act();
    ADD_FAILURE() << what << " was not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::options);
    EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
  }
}

}  // namespace ganymede::test
