#include "launch/trainer.h"

#include <gtest/gtest.h>

#include <csignal>
#include <fstream>

#include "core/signals.h"
#include "datasets/dataset_writer.h"
#include "tests/core/temporary_folder.h"
#include "tests/launch/one_weight.h"

namespace ganymede {
namespace {

constexpr std::int64_t batch = 4;

struct Training {
  explicit Training(const std::map<std::string, std::string>& settings = {}, bool scale_loss = false)
      : method(process.world(), scale_loss) {
    install_stop_signal();  // and forget what an earlier test asked for
    set(settings);
    write_images("a.h5", 0);
    dataset.emplace(ImageDataset::attach(ImageDataset::inspect({folder / "a.h5"})));
    run_folder.emplace(folder / "run");
  }
  void set(const std::map<std::string, std::string>& settings) {
    for (const auto& [key, value] : settings) all[key] = {value, "test"};
    options = std::make_unique<RunOptions>(std::vector<Settings>{all});
  }
  /// Goes on after `step`, with what the method is by now.
  ExitCode train(std::int64_t step = 0) {
    run_folder->cut_back(step);
    return Trainer({process, *options, *dataset, method, &*run_folder, run_folder->path(), {}})
        .run({step, step * batch, 0});
  }
  /// Eight images of one grey.
  void write_images(const std::string& name, int grey) {
    DatasetWriter writer(folder / name, {.count = 8, .channels = 1, .height = 32, .width = 32});
    writer.write_images(0, std::vector<std::byte>(8 * 32 * 32, static_cast<std::byte>(grey)));
    writer.finish();
  }
  bool has(const std::string& path) const { return std::filesystem::exists(run_folder->path() / path); }

  TemporaryFolder folder;
  Process process;
  OneWeight method;
  Settings all{{"train.batch", {std::to_string(batch), "test"}}, {"biggan.image_channels", {"1", "test"}}};
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

TEST(Trainer, AFewGradientsThatAreNotFiniteEndTheRunBeforeTheLastIsSaved) {
  Training run({{"train.steps", "9"}, {"checkpoint.every", "1"}, {"checkpoint.keep", "9"}, {"sample.every", "0"}});
  run.method.bad_steps = {2, 4, 5, 7};
  const std::string message = expect_error(ExitCode::diverged, [&] { run.train(); });
  EXPECT_NE(message.find("step 7"), message.npos) << message;
  EXPECT_TRUE(run.has("checkpoints/step-000000006"));
  EXPECT_FALSE(run.has("checkpoints/step-000000007"));
}

void expect_to_go_on(bool scale_loss) {
  Training run({{"train.steps", "5"}, {"sample.every", "0"}, {"log.every", "1"}}, scale_loss);
  run.method.bad_steps = {3};
  testing::internal::CaptureStderr();
  EXPECT_EQ(run.train(), ExitCode::done);
  const std::string warnings = testing::internal::GetCapturedStderr();
  EXPECT_EQ(warnings.find("at step 3 updates of the net are left out, 1 so far") == warnings.npos, scale_loss) << warnings;
  std::ifstream log(run.run_folder->path() / "log.jsonl");
  std::int64_t step = 0;
  for (std::string line; std::getline(log, line);) {
    const auto entry = nlohmann::json::parse(line);
    ++step;
    EXPECT_EQ(entry.contains("loss"), step != 3);
    EXPECT_EQ(entry.contains("net_loss_scale"), scale_loss);
    if (scale_loss) {
      EXPECT_EQ(entry.at("net_loss_scale"), step < 3 ? UpdateGuard::first : UpdateGuard::first / 2);
    }
    EXPECT_EQ(entry.at("net_skipped_updates"), step < 3 ? 0 : 1);
  }
  EXPECT_EQ(step, 5);
}

TEST(Trainer, ASkippedUpdateIsLoggedAndTheRunGoesOn) {
  expect_to_go_on(/*scale_loss=*/false);
  expect_to_go_on(/*scale_loss=*/true);
}

TEST(Trainer, AFlippedBitShowsInTheChain) {
  const TemporaryFolder kept;
  for (const bool flips : {false, true}) {
    Training run({{"train.steps", "5"}, {"sample.every", "0"}});
    run.method.after = [&](std::int64_t step) {
      const at::Tensor weight = run.method.players().front()->weights(false).front().second;
      if (flips && step == 3) weight.view(at::kByte)[4].bitwise_xor_(1);
    };
    EXPECT_EQ(run.train(), ExitCode::done);
    std::filesystem::copy(run.run_folder->path(), kept / (flips ? "flipped" : "whole"),
                          std::filesystem::copy_options::recursive);
  }
  const ChainComparison found = compare_chains(kept / "whole", kept / "flipped");
  EXPECT_EQ(found.differs_at, 3);
  EXPECT_EQ(found.what, "the weights: 1 of 1 tensors, net/weight/weight");
}

TEST(Trainer, AGridThatIsDueAtTheStopIsWritten) {
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

std::map<std::string, std::string> scored_to(const std::string& steps) {
  return {{"train.steps", steps},  {"sample.every", "0"},     {"evaluate.every", "2"},
          {"evaluate.count", "6"}, {"checkpoint.every", "0"}, {"checkpoint.keep", "1"}};
}

/// Data are black: a run whose second step is the best, and whose fourth the last.
struct BestAtTwo : Training {
  BestAtTwo() : Training(scored_to("4")) {
    method.during = [this](std::int64_t step) { method.grey = step <= 2 ? -1 : 0.4; };
    EXPECT_EQ(train(), ExitCode::done);
    EXPECT_EQ(scores_in(run_folder->path()).at(1)["best"], 2);
  }
};

TEST(Trainer, ScoresAndKeepsTheBest) {
  Training run(scored_to("5"));
  run.method.during = [&](std::int64_t step) { run.method.grey = -1 + 0.2 * static_cast<double>(step); };
  EXPECT_EQ(run.train(), ExitCode::done);
  const auto lines = scores_in(run.run_folder->path());
  ASSERT_EQ(lines.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(lines[i]["step"], std::vector({2, 4, 5})[i]);
  EXPECT_TRUE(lines[0]["metrics"]["fid"]["value"].is_number());
  EXPECT_EQ(lines[0]["protocol"]["images"]["step"], 2);
  EXPECT_EQ(lines[0]["protocol"]["reference"]["count"], 8);
  // Data are black, images ever lighter: the first score is the best, and saved though no checkpoint was due.
  EXPECT_TRUE(run.has("checkpoints/step-000000002/manifest.json"));
  EXPECT_FALSE(run.has("checkpoints/step-000000004"));
  EXPECT_TRUE(run.has("checkpoints/step-000000005/manifest.json"));
}

// The last step is saved before it is scored.
TEST(Trainer, ABestThatTheLastStepBeatsGoes) {
  Training run(scored_to("5"));
  // The data are black: the darker the better.
  run.method.during = [&](std::int64_t step) { run.method.grey = step < 5 ? 0.4 : -0.95; };
  EXPECT_EQ(run.train(), ExitCode::done);
  EXPECT_TRUE(run.has("checkpoints/step-000000005/manifest.json"));
  EXPECT_FALSE(run.has("checkpoints/step-000000002"));
}

TEST(Trainer, ABestStaysWhereTheWeightsOfTheScoresAreMoved) {
  BestAtTwo run;
  auto lines = scores_in(run.run_folder->path());
  std::ofstream file(run.run_folder->path() / "metrics.jsonl");
  for (auto& line : lines) {
    line["protocol"]["extractor"]["origin"] = "elsewhere.pth";
    line["protocol"]["extractor"]["caveat"] = "other words";
    line["protocol"]["images"]["name"] = line["protocol"]["reference"]["name"] = "renamed";
    line.erase("best");
    file << line << "\n";
  }
  file.close();
  run.set({{"train.steps", "8"}});
  EXPECT_EQ(run.train(4), ExitCode::done);
  EXPECT_TRUE(run.has("checkpoints/step-000000002"));
  EXPECT_EQ(scores_in(run.run_folder->path()).back()["best"], 2);
}

// The old one's score says nothing by the new measure.
TEST(Trainer, AnotherReferenceHasABestOfItsOwn) {
  BestAtTwo run;
  run.write_images("white.h5", 255);
  run.set({{"train.steps", "8"}, {"evaluate.reference", (run.folder / "white.h5").string()}});
  run.method.during = [&](std::int64_t step) { run.method.grey = step <= 6 ? 1 : 0.4; };
  EXPECT_EQ(run.train(4), ExitCode::done);
  EXPECT_TRUE(run.has("checkpoints/step-000000006"));
  EXPECT_FALSE(run.has("checkpoints/step-000000002"));
  EXPECT_EQ(scores_in(run.run_folder->path()).back()["best"], 6);
}

TEST(Trainer, ABestStaysWhereScoringEnds) {
  BestAtTwo run;
  run.set({{"train.steps", "7"}, {"evaluate.every", "0"}, {"checkpoint.every", "1"}});
  EXPECT_EQ(run.train(4), ExitCode::done);
  EXPECT_TRUE(run.has("checkpoints/step-000000002"));
  EXPECT_TRUE(run.has("checkpoints/step-000000007"));
  EXPECT_FALSE(run.has("checkpoints/step-000000006"));
}

TEST(Trainer, AMeasureThatTrainingCannotTakeShowsBeforeTheFirstStep) {
  Training run({{"evaluate.every", "2"}, {"evaluate.metrics", "fid,fid-infinity"}});
  const std::string message = expect_error(ExitCode::options, [&] { run.train(); });
  EXPECT_NE(message.find("ganymede evaluate"), message.npos) << message;
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
