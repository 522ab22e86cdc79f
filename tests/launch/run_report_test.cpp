#include "launch/report/run_report.h"

#include <gtest/gtest.h>

#include <fstream>

#include "launch/report/page.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

using nlohmann::json;

void write(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

TEST(RunReport, ARunThatHasJustBegunHasOptionsAlone) {
  const TemporaryFolder folder;
  write(folder / "config.cfg", "[train]\nsteps = 12\nkimg = 0\n\n[biggan]\nattention = \n");
  const json found = run_report(folder.path());
  EXPECT_EQ(found["step"], 0);
  EXPECT_EQ(found["total_steps"], 12);
  EXPECT_EQ(found["options"],
            json::parse(R"([["train", [["steps", "12"], ["kimg", "0"]]], ["biggan", [["attention", ""]]]])"));
  EXPECT_TRUE(found["log"]["steps"].empty());
  EXPECT_TRUE(found["samples"]["grids"].empty());
  EXPECT_EQ(found["passed_over"], 0);
}

TEST(RunReport, ReadsWhatARunWrites) {
  const TemporaryFolder folder;
  write(folder / "config.cfg", "[train]\nsteps = 12\nkimg = 1\n");
  write(folder / "log.jsonl",
        "{\"step\": 2, \"images\": 20, \"loss\": 1}\nnot JSON\n[1]\n{\"step\": 4, \"images\": 40, \"loss\": "
        "2}\n{\"step\": 6, \"lo");
  write(folder / "metrics.jsonl",
        "{\"step\": 2, \"metrics\": {\"fid\": {\"value\": 9, \"error\": 1}, \"odd\": 4}, \"protocol\": "
        "{\"count\": 5}}\n"
        "{\"step\": 4, \"metrics\": {\"fid\": {\"value\": 8, \"features\": \"random\"}, \"is\": {\"value\": "
        "\"text\"}}, \"protocol\": "
        "{\"count\": 6}}\n");
  write(folder / "starts.jsonl", "{\"step\": 0, \"ranks\": 2}\n");
  const json found = run_report(folder.path());
  EXPECT_EQ(found["step"], 4);
  EXPECT_EQ(found["total_steps"], 100) << "1,000 images at 10 a step";
  EXPECT_EQ(found["log"]["values"]["loss"]["mean"], json({1.0, 2.0}));
  EXPECT_EQ(
      found["scores"],
      json::parse(
          R"({"fid": {"steps": [2, 4], "values": [9, 8], "errors": [1, null], "features": "random"}})"));
  EXPECT_EQ(found["protocol"], json({{"count", 6}}));
  EXPECT_EQ(found["starts"], json::parse(R"([{"step": 0, "ranks": 2}])"));
  EXPECT_EQ(found["passed_over"], 2) << "but not the last line, which is being written";
}

TEST(RunReport, LinesLongerThanABlockAreWhole) {
  const TemporaryFolder folder;
  std::string lines;
  for (int step = 0; step < 3; ++step)
    lines += json{{"step", step}, {"note", std::string(700000, 'x')}, {"loss", step}}.dump() + "\n";
  write(folder / "log.jsonl", lines);
  const json found = run_report(folder.path());
  EXPECT_EQ(found["log"]["values"]["loss"]["mean"], json({0.0, 1.0, 2.0}));
  EXPECT_EQ(found["passed_over"], 0);
}

TEST(RunReport, TakesABoundedNumberOfGrids) {
  const TemporaryFolder folder;
  write(folder / "config.cfg", "");
  for (int step = 0; step <= 100; ++step)
    write(folder / fmt::format("samples/step-{:09}.png", step), std::string(100, 'x'));
  write(folder / "samples/step-x.png", "");
  write(folder / "samples/step-000000001.png.tmp", "");
  const auto steps = [&](const ReportLimits& limits) {
    std::vector<int> result;
    const json samples = run_report(folder.path(), limits)["samples"];
    EXPECT_EQ(samples["count"], 101);
    for (const json& grid : samples["grids"]) {
      result.push_back(grid["step"]);
      EXPECT_EQ(grid["png"], base64(std::string(100, 'x')));
    }
    return result;
  };
  EXPECT_EQ(steps({.grids = 5}), (std::vector<int>{0, 25, 50, 75, 100}));
  EXPECT_EQ(steps({.grids = 5, .grid_bytes = 250}), (std::vector<int>{0, 100}));
  EXPECT_EQ(steps({.grids = 5, .grid_bytes = 10}), (std::vector<int>{100}))
      << "the newest, whatever its size";
}

TEST(RunReport, RefusesWhatIsNoRun) {
  const TemporaryFolder folder;
  write(folder / "file", "");
  for (const char* name : {"absent", "file", ""})
    expect_error(ExitCode::storage, [&] { run_report(folder / name); });
}

}  // namespace
}  // namespace ganymede
