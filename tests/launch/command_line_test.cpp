#include "launch/command_line.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace ganymede {
namespace {

const std::vector<Flag> flags{{"out", "DIR", "where to"},
                              {"data", "F ...", "what", true},
                              {"count", "N", "how many"},
                              {"force", "", "even so"}};
const std::vector<std::string> keys{"train.batch", "train.steps", "gan.loss"};

CommandLine parse(const std::vector<std::string>& words, bool lenient = false) {
  return parse_command_line(words, flags, keys, lenient);
}

/// What a bad command line is answered with.
std::string refusal(const std::vector<std::string>& words) {
  try {
    parse(words);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::options);
    return error.what();
  }
  return "accepted";
}

TEST(CommandLine, TellsFlagsSettingsAndPositionalWordsApart) {
  const CommandLine line = parse(
      {"first", "--out", "there", "--train.batch", "8", "--force", "--data", "a.h5", "b.h5", "--count=3"});
  EXPECT_EQ(line.value("out"), "there");
  EXPECT_TRUE(line.has("force"));
  EXPECT_EQ(line.flags.at("data"), (std::vector<std::string>{"a.h5", "b.h5"}));
  EXPECT_EQ(line.integer("count", 1, {1, 10}), 3);
  EXPECT_EQ(line.settings.at("train.batch").value, "8");
  EXPECT_EQ(line.settings.at("train.batch").origin, "command line");
  EXPECT_EQ(line.positional, std::vector<std::string>{"first"});
}

TEST(CommandLine, GivesDefaultsForWhatIsAbsent) {
  const CommandLine line = parse({});
  EXPECT_FALSE(line.has("force"));
  EXPECT_EQ(line.value("out", "here"), "here");
  EXPECT_EQ(line.integer("count", 7, {1, 10}), 7);
  EXPECT_THROW(line.required("out", "the folder"), Error);
}

TEST(CommandLine, TakesNegativeNumbersAndDashesAsValues) {
  EXPECT_EQ(parse({"--count", "-5"}).integer("count", 0, {-10, 10}), -5);
  EXPECT_EQ(parse({"--train.steps", "-1"}).settings.at("train.steps").value, "-1");
  EXPECT_EQ(parse({"--count=-5"}).integer("count", 0, {-10, 10}), -5);
  EXPECT_EQ(parse({"--out=--odd"}).value("out"), "--odd");
}

TEST(CommandLine, KeepsEqualsSignsWithinAValue) {
  EXPECT_EQ(parse({"--out=a=b"}).value("out"), "a=b");
}

TEST(CommandLine, NamesTheNearestOption) {
  EXPECT_EQ(refusal({"--cuont", "3"}), "unknown option --cuont: did you mean --count?");
  EXPECT_EQ(refusal({"--train.bach", "3"}), "unknown option --train.bach: did you mean --train.batch?");
  EXPECT_EQ(refusal({"--batch", "3"}), "unknown option --batch: did you mean --train.batch?");
  EXPECT_EQ(refusal({"--quixotic=3"}), "unknown option --quixotic: --help lists them");
}

TEST(CommandLine, DoesNotTakeAbbreviations) {
  EXPECT_EQ(refusal({"--forc"}), "unknown option --forc: did you mean --force?");
  EXPECT_EQ(refusal({"-f"}), "unknown option -f: options begin with two dashes; --help lists them");
}

TEST(CommandLine, RefusesAnOptionGivenTwice) {
  EXPECT_EQ(refusal({"--out", "a", "--out", "b"}), "--out is given twice");
  EXPECT_EQ(refusal({"--gan.loss=hinge", "--gan.loss=hinge"}), "--gan.loss is given twice");
}

TEST(CommandLine, RefusesAMissingValue) {
  EXPECT_EQ(refusal({"--out"}), "--out needs a value");
  EXPECT_EQ(refusal({"--out="}), "--out needs a value");
  EXPECT_EQ(refusal({"--data"}), "--data needs a value");
  EXPECT_EQ(refusal({"--out", "--count", "3"}),
            "--out needs a value, and --count is an option: write --out=--count if it is meant as one");
  EXPECT_EQ(refusal({"--force=yes"}), "--force is a switch and takes no value");
}

TEST(CommandLine, NamesTheRangeOfANumber) {
  EXPECT_THROW(parse({"--count", "11"}).integer("count", 1, {1, 10}), Error);
  EXPECT_THROW(parse({"--count", "3.5"}).integer("count", 1, {1, 10}), Error);
  EXPECT_THROW(parse({"--count", "3x"}).integer("count", 1, {1, 10}), Error);
}

TEST(CommandLine, LenientlyPassesOverTheUnknown) {
  const CommandLine line = parse({"--nets.width", "64", "--gan.loss", "hinge"}, true);
  EXPECT_EQ(line.settings.at("gan.loss").value, "hinge");
  EXPECT_EQ(line.settings.size(), 1u);
}

TEST(CommandLine, HelpHasALineForEachFlag) {
  const std::string help = flag_help(flags);
  EXPECT_EQ(std::ranges::count(help, '\n'), 4);
  EXPECT_NE(help.find("--out DIR"), std::string::npos);
}

}  // namespace
}  // namespace ganymede
