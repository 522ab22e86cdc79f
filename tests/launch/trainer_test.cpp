#include "launch/trainer.h"

#include <gtest/gtest.h>

#include <csignal>
#include <fstream>

#include "core/signals.h"
#include "datasets/dataset_writer.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

constexpr std::int64_t batch = 4;

class Net final : public torch::nn::Module {
 public:
  Net() { weight = register_parameter("weight", at::zeros({3})); }
  at::Tensor weight;
};

/// One number to learn; its gradient is what the test says.
class OneWeight final : public Method {
 public:
  OneWeight(Communicator& gradients, bool scale_loss)
      : net_(std::make_shared<Net>()),
        player_("net", net_, {}, at::kFloat, at::kCPU, gradients, 1 << 20, scale_loss) {}

  std::vector<Player*> players() override { return {&player_}; }
  std::int64_t batches_per_step() const override { return 1; }
  std::vector<CollectiveCost> costs_per_step(int) const override { return {}; }
  void initialise() override {}
  StepReport step(std::int64_t step, const NextBatch& next) override {
    next();
    if (during) during(step);
    player_.zero_gradients();
    player_.reducer().arm();
    const double value = step == bad_step ? NAN : 1.0;
    player_.backward(net_->weight.sum() * value);
    player_.finish_gradients();
    player_.update();
    return {{"loss", at::full({}, player_.loss_scale() ? value : 1.0, at::kDouble)}};
  }
  std::unique_ptr<Sampler> sampler(const SampleOptions&) override { return std::make_unique<Grey>(); }

  std::int64_t bad_step = 0;
  std::function<void(std::int64_t)> during;

 private:
  class Grey final : public Sampler {
   public:
    at::Tensor images(std::int64_t, const at::Tensor& labels) override {
      return at::zeros({labels.numel(), 1, 32, 32});
    }
  };
  std::shared_ptr<Net> net_;
  Player player_;
};

struct Training {
  explicit Training(const std::map<std::string, std::string>& settings = {}, bool scale_loss = false)
      : method(process.world(), scale_loss) {
    Settings all{{"train.batch", {std::to_string(batch), "test"}}, {"biggan.image_channels", {"1", "test"}}};
    for (const auto& [key, value] : settings) all[key] = {value, "test"};
    options = std::make_unique<RunOptions>(std::vector<Settings>{all});
    DatasetWriter writer(folder / "a.h5", {.count = 8, .channels = 1, .height = 32, .width = 32});
    writer.write_images(0, std::vector<std::byte>(8 * 32 * 32));
    writer.finish();
    dataset.emplace(ImageDataset::attach(ImageDataset::inspect({folder / "a.h5"})));
    run_folder.emplace(folder / "run");
  }
  ExitCode train() {
    return Trainer({process, *options, *dataset, method, &*run_folder, run_folder->path(), {}}).run({});
  }
  bool has(const std::string& path) const { return std::filesystem::exists(run_folder->path() / path); }

  TemporaryFolder folder;
  Process process;
  OneWeight method;
  std::unique_ptr<RunOptions> options;
  std::optional<ImageDataset> dataset;
  std::optional<RunFolder> run_folder;
};

TEST(Trainer, SavesTheLastStep) {
  Training run({{"train.steps", "3"}, {"sample.every", "2"}});
  EXPECT_EQ(run.train(), ExitCode::done);
  EXPECT_TRUE(run.has("checkpoints/step-000000003/manifest.json"));
  for (const char* grid :
       {"samples/step-000000000.png", "samples/step-000000002.png", "samples/step-000000003.png"})
    EXPECT_TRUE(run.has(grid)) << grid;
  EXPECT_FALSE(run.has("samples/step-000000001.png"));
}

// The losses of the step are finite: they were computed before the update.
TEST(Trainer, AGradientThatIsNotFiniteEndsTheRunBeforeItIsSaved) {
  Training run({{"train.steps", "5"}, {"checkpoint.every", "1"}, {"sample.every", "0"}});
  run.method.bad_step = 3;
  const std::string message = expect_error(ExitCode::diverged, [&] { run.train(); });
  EXPECT_NE(message.find("step 3"), message.npos) << message;
  EXPECT_TRUE(run.has("checkpoints/step-000000002"));
  EXPECT_FALSE(run.has("checkpoints/step-000000003"));
}

// In float16 a loss that overflows costs its update, not the run.
TEST(Trainer, ASkippedUpdateIsLoggedAndTheRunGoesOn) {
  Training run({{"train.steps", "5"}, {"sample.every", "0"}, {"log.every", "1"}}, /*scale_loss=*/true);
  run.method.bad_step = 3;
  EXPECT_EQ(run.train(), ExitCode::done);
  std::ifstream log(run.run_folder->path() / "log.jsonl");
  std::int64_t step = 0;
  for (std::string line; std::getline(log, line);) {
    const auto entry = nlohmann::json::parse(line);
    ++step;
    EXPECT_EQ(entry.contains("loss"), step != 3);
    EXPECT_EQ(entry.at("net_loss_scale"), step < 3 ? LossScale::first : LossScale::first / 2);
    EXPECT_EQ(entry.at("net_skipped_updates"), step < 3 ? 0 : 1);
  }
  EXPECT_EQ(step, 5);
}

TEST(Trainer, AGridThatIsDueAtTheStopIsWritten) {
  install_stop_signal();
  Training run({{"train.steps", "5"}, {"sample.every", "2"}});
  run.method.during = [](std::int64_t step) {
    if (step == 2) std::raise(SIGUSR1);
  };
  EXPECT_EQ(run.train(), ExitCode::stopped);
  EXPECT_TRUE(run.has("checkpoints/step-000000002/manifest.json"));
  EXPECT_TRUE(run.has("samples/step-000000002.png"));
}

std::vector<nlohmann::json> scores_in(const std::filesystem::path& run) {
  std::vector<nlohmann::json> lines;
  std::ifstream file(run / "metrics.jsonl");
  for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TEST(Trainer, ScoresAndKeepsTheBest) {
  const auto scored = [](Training& run) {
    EXPECT_EQ(run.train(), ExitCode::done);
    return scores_in(run.run_folder->path());
  };
  std::map<std::string, std::string> settings{{"train.steps", "5"},      {"sample.every", "0"},
                                              {"evaluate.every", "2"},   {"evaluate.count", "6"},
                                              {"checkpoint.every", "0"}, {"checkpoint.keep", "1"}};
  Training run(settings);
  const auto lines = scored(run);
  ASSERT_EQ(lines.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(lines[i]["step"], std::vector({2, 4, 5})[i]);
  EXPECT_TRUE(lines[0]["metrics"]["fid"]["value"].is_number());
  EXPECT_EQ(lines[0]["protocol"]["images"]["step"], 2);
  EXPECT_EQ(lines[0]["protocol"]["reference"]["count"], 8);
  // All images are the same grey: the first score is the best, and is saved though no checkpoint was due.
  EXPECT_TRUE(run.has("checkpoints/step-000000002/manifest.json"));
  EXPECT_FALSE(run.has("checkpoints/step-000000004"));
  EXPECT_TRUE(run.has("checkpoints/step-000000005/manifest.json"));
}

TEST(Trainer, AWrongReferenceShowsBeforeTheFirstStep) {
  Training run({{"evaluate.every", "2"}, {"evaluate.reference", "/nowhere/a.npz"}});
  bool began = false;
  run.method.during = [&](std::int64_t) { began = true; };
  expect_error(ExitCode::dataset, [&] { run.train(); });
  EXPECT_FALSE(began);
}

}  // namespace
}  // namespace ganymede
