#include "core/run_log.h"

#include <gtest/gtest.h>

#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

std::string events_in(const std::filesystem::path& folder) {
  std::string text;
  for (const auto& file : std::filesystem::directory_iterator(folder))
    if (file.path().filename().string().starts_with("events.out.tfevents."))
      text += read_text_file(file.path(), 1 << 20);
  return text;
}

std::int64_t occurrences(const std::string& text, const std::string& part) {
  std::int64_t count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != text.npos; ++at) ++count;
  return count;
}

TEST(RunLog, WritesLinesAndEvents) {
  const TemporaryFolder folder;
  RunFolder run(folder.path());
  RunLog log(run, 0);
  log.start("[train]\nbatch = 1\n", {{"ranks", 2}});
  log.report({{"step", 1}, {"loss", 0.5}, {"note", "text"}, {"nothing", nullptr}});
  log.score({{"step", 1},
             {"metrics", {{"fid", {{"value", 2.5}, {"error", 0.5}}}, {"kid", {{"value", 1}}}, {"odd", 3}}},
             {"protocol", nlohmann::json::object()}});
  EXPECT_EQ(read_text_file(folder / "starts.jsonl", 1000), "{\"ranks\":2,\"step\":0}\n");
  EXPECT_EQ(read_text_file(folder / "log.jsonl", 1000),
            "{\"loss\":0.5,\"note\":\"text\",\"nothing\":null,\"step\":1}\n");
  EXPECT_EQ(nlohmann::json::parse(read_text_file(folder / "metrics.jsonl", 1000))["metrics"]["fid"]["value"],
            2.5);
  const std::string events = events_in(folder.path());
  for (const char* tag : {"train/loss", "scores/fid", "scores/fid_error", "scores/kid", "    batch = 1"})
    EXPECT_NE(events.find(tag), events.npos) << tag;
  for (const char* tag : {"train/note", "train/nothing", "train/step", "scores/kid_error", "scores/odd"})
    EXPECT_EQ(events.find(tag), events.npos) << tag;
}

TEST(RunLog, ARunThatGoesOnForgetsLaterStepsAlone) {
  const TemporaryFolder folder;
  RunFolder run(folder.path());
  { const RunLog first(run, 0); }
  { const RunLog second(run, 7); }
  const std::string events = events_in(folder.path());
  // event.step, then session_log { status: START }
  EXPECT_EQ(occurrences(events, std::string("\x10\0\x3a\x02\x08\x01", 6)), 1);
  EXPECT_EQ(occurrences(events, "\x10\x08\x3a\x02\x08\x01"), 1);
}

TEST(RunLog, ShowsAFewLayersOfAPlayer) {
  const TemporaryFolder folder;
  RunFolder run(folder.path());
  RunLog log(run, 0);
  NamedTensors weights{{"bias", at::ones({4})}};
  for (int layer = 0; layer < 30; ++layer)
    weights.emplace_back(fmt::format("layer{}.", layer), at::rand({4, 4}));
  log.weights(3, "generator", weights);
  log.weights(3, "discriminator", {{"only", at::rand({2, 2})}, {"broken", at::full({2, 2}, NAN)}});
  const std::string events = events_in(folder.path());
  EXPECT_EQ(occurrences(events, "generator/layer"), 8);
  for (const char* tag : {"generator/layer0.", "generator/layer29.", "discriminator/only"})
    EXPECT_EQ(occurrences(events, tag), 1) << tag;
  EXPECT_EQ(occurrences(events, "bias") + occurrences(events, "broken"), 0);
}

}  // namespace
}  // namespace ganymede
