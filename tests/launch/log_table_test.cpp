#include "launch/report/log_table.h"

#include <gtest/gtest.h>

namespace ganymede {
namespace {

using nlohmann::json;

json report(int step, double loss) {
  return {{"step", step}, {"images", step * 10}, {"seconds", step * 0.5}, {"loss", loss}};
}

TEST(LogTable, KeepsFewReportsAsTheyAre) {
  LogTable table(10);
  table.add(report(1, 3));
  table.add(
      {{"step", 2}, {"images", 20}, {"seconds", 1}, {"late", 1.23456789}, {"text", "x"}, {"none", nullptr}});
  const json found = table.to_json();
  EXPECT_EQ(found["reports_each"], 1);
  EXPECT_EQ(found["steps"], json({1, 2}));
  EXPECT_EQ(found["images"], json({10, 20}));
  EXPECT_EQ(found["seconds"], json({0.5, 1.0}));
  EXPECT_EQ(found["values"],
            (json{{"loss", {{"mean", {3.0, nullptr}}}}, {"late", {{"mean", {nullptr, 1.23457}}}}}));
}

TEST(LogTable, MergesNeighboursOfMany) {
  LogTable table(4);
  for (int step = 1; step <= 9; ++step) table.add(report(step, step));
  const json found = table.to_json();
  EXPECT_EQ(found["reports_each"], 4);
  EXPECT_EQ(found["steps"], json({4, 8, 9}));
  EXPECT_EQ(found["images"], json({40, 80, 90}));
  EXPECT_EQ(found["values"]["loss"],
            (json{{"mean", {2.5, 6.5, 9.0}}, {"low", {1.0, 5.0, 9.0}}, {"high", {4.0, 8.0, 9.0}}}));
}

TEST(LogTable, NeverHasMoreRowsThanAsked) {
  for (const int reports : {0, 1, 4, 5, 63, 64, 65, 1000}) {
    LogTable table(5);
    for (int step = 0; step < reports; ++step) table.add(report(step, 1));
    EXPECT_LE(table.to_json()["steps"].size(), 5u);
  }
}

TEST(LogTable, SecondsRunOnOverARestart) {
  LogTable table(10);
  for (const double seconds : {2., 4., 1., 3.}) table.add({{"step", 1}, {"seconds", seconds}});
  EXPECT_EQ(table.to_json()["seconds"], json({2.0, 4.0, 5.0, 7.0}));
}

}  // namespace
}  // namespace ganymede
