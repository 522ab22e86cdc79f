#include "core/options.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace ganymede {
namespace {

struct Options {
  bool flip = false;
  std::int64_t batch = 64;
  double lr = 1e-4;
  std::string loss = "hinge";
  std::vector<std::int64_t> widths{16, 8};
  std::int64_t every = 10;
  OptionSchema schema;

  Options() {
    schema.add("data.flip", flip, "mirror");
    schema.add("train.batch", batch, "images", {1, 100}, "global batch");
    schema.add("train.lr", lr, "", {0, 1}, "step size");
    schema.add("gan.loss", loss, {"hinge", "logistic"}, "loss");
    schema.add("net.widths", widths, "channels", {1, 64}, "of the blocks");
    schema.add("log.every", every, "steps", {1, 1e6}, "between reports", OnResume::free);
  }
  void set(const std::string& key, const std::string& value) { schema.apply({{key, {value, "test:1"}}}); }
};

/// What `action` is refused with.
template <class Action>
std::string refusal(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::options);
    return error.what();
  }
  return "accepted";
}

std::string refusal_of(const std::string& key, const std::string& value) {
  return refusal([&] { Options().set(key, value); });
}

std::string refusal_of_recipe(const std::string& text) {
  return refusal([&] { parse_recipe(text, "r.cfg"); });
}

TEST(Options, FillEveryType) {
  Options options;
  options.schema.apply(
      parse_recipe("[data]\nflip = true\n[train]\nbatch = 7\nlr = 2.5e-3  # small\n"
                   "[gan]\nloss = logistic\n[net]\nwidths = 4, 5,6\n",
                   "r.cfg"));
  EXPECT_TRUE(options.flip);
  EXPECT_EQ(options.batch, 7);
  EXPECT_EQ(options.lr, 2.5e-3);
  EXPECT_EQ(options.loss, "logistic");
  EXPECT_EQ(options.widths, (std::vector<std::int64_t>{4, 5, 6}));
  EXPECT_EQ(options.every, 10);
}

TEST(Options, AListMayBeEmpty) {
  Options options;
  options.set("net.widths", "none");
  EXPECT_TRUE(options.widths.empty());
}

TEST(Options, RangesIncludeTheirBounds) {
  Options options;
  options.set("train.batch", "1");
  options.set("train.batch", "100");
  options.set("train.lr", "0");
  EXPECT_EQ(refusal_of("train.batch", "101"),
            "train.batch = 101 (test:1) is out of range: give 1..100 images");
  EXPECT_EQ(refusal_of("train.batch", "0"), "train.batch = 0 (test:1) is out of range: give 1..100 images");
  EXPECT_EQ(refusal_of("train.lr", "-1e-9"), "train.lr = -1e-9 (test:1) is out of range: give 0..1");
  EXPECT_NE(refusal_of("net.widths", "4,65"), "accepted");
  EXPECT_EQ(refusal_of("train.batch", "99999999999999999999"),
            "train.batch = 99999999999999999999 (test:1) is out of range");
}

TEST(Options, RefuseValuesOfAnotherType) {
  for (const char* value : {"", "x", "3.5", "3 4", "0x10", "1e2"}) {
    EXPECT_EQ(refusal_of("train.batch", value),
              fmt::format("train.batch = '{}' (test:1) is not a whole number", value));
  }
  for (const char* value : {"", "x", "1,5", "nan", "inf", "1e999"})
    EXPECT_EQ(refusal_of("train.lr", value), fmt::format("train.lr = '{}' (test:1) is not a number", value));
  EXPECT_EQ(refusal_of("data.flip", "yes"),
            "data.flip = 'yes' (test:1) is not known: give one of true, false");
  EXPECT_EQ(refusal_of("gan.loss", "hinges"),
            "gan.loss = 'hinges' (test:1) is not known: give one of hinge, logistic");
  EXPECT_NE(refusal_of("net.widths", "4,,5"), "accepted");
}

TEST(Options, NameTheNearestKey) {
  EXPECT_EQ(refusal_of("train.bacth", "3"), "unknown option train.bacth (test:1): did you mean train.batch?");
  EXPECT_EQ(refusal_of("batch", "3"), "unknown option batch (test:1): did you mean train.batch?");
  EXPECT_EQ(refusal_of("zzzzzzzzzz", "3"), "unknown option zzzzzzzzzz (test:1)");
}

TEST(Options, AreDescribedOnce) {
  Options options;
  EXPECT_THROW(options.schema.add("data.flip", options.flip, "again"), std::logic_error);
}

TEST(Options, ComeBackFromTheRecipeTheyPrint) {
  Options options;
  options.set("train.lr", "0.1");
  options.set("train.lr", "0.00030000000000000003");
  options.set("net.widths", "3");
  options.set("data.flip", "true");
  Options again;
  again.schema.apply(parse_recipe(options.schema.to_recipe(), "kept"));
  EXPECT_EQ(again.lr, options.lr);
  EXPECT_EQ(again.widths, options.widths);
  EXPECT_TRUE(again.flip);
  EXPECT_EQ(again.schema.to_recipe(), options.schema.to_recipe());
}

TEST(Options, TellWhatMayNotChangeOnResume) {
  Options before, now;
  now.set("train.batch", "32");
  now.set("gan.loss", "logistic");
  now.set("log.every", "20");
  const Settings stored = parse_recipe(before.schema.to_recipe(), "checkpoint");
  EXPECT_EQ(before.schema.differences(stored, {}), std::vector<std::string>{});
  EXPECT_EQ(now.schema.differences(stored, {}),
            (std::vector<std::string>{"train.batch: 64 -> 32", "gan.loss: hinge -> logistic"}));
  const std::vector<std::string> allowed{"gan.loss"};
  EXPECT_EQ(now.schema.differences(stored, allowed), std::vector<std::string>{"train.batch: 64 -> 32"});
}

TEST(Options, TellWhichOptionsCameAndWent) {
  Options options;
  Settings stored = parse_recipe(options.schema.to_recipe(), "checkpoint");
  stored.erase("gan.loss");
  EXPECT_EQ(options.schema.differences(stored, {}), std::vector<std::string>{}) << "its default is what there was before";
  options.set("gan.loss", "logistic");
  stored["old.key"] = {"3", "checkpoint"};
  EXPECT_EQ(options.schema.differences(stored, {}),
            (std::vector<std::string>{"gan.loss: (absent) -> logistic", "old.key: 3 -> (absent)"}));
}

TEST(Recipe, RemembersTheLineOfEachKey) {
  const Settings settings =
      parse_recipe("# a recipe\n\n[train]\nbatch = 3\r\n\nlr=1 # fast\n[gan]\nloss = hinge\n", "r.cfg");
  EXPECT_EQ(settings.at("train.batch").value, "3");
  EXPECT_EQ(settings.at("train.batch").origin, "r.cfg:4");
  EXPECT_EQ(settings.at("train.lr").origin, "r.cfg:6");
  EXPECT_EQ(settings.at("gan.loss").origin, "r.cfg:8");
}

TEST(Recipe, NamesTheLineThatIsWrong) {
  EXPECT_EQ(refusal_of_recipe("[train]\nbatch = 3\nbatch = 4\n"),
            "r.cfg:3: train.batch was already set on line 2");
  EXPECT_EQ(refusal_of_recipe("[train]\nbatch = 3\n[gan]\nloss = hinge\n[train]\nbatch = 3\n"),
            "r.cfg:6: train.batch was already set on line 2");
  EXPECT_EQ(refusal_of_recipe("[train]\nbatch\n"), "r.cfg:2: 'batch' is neither [section] nor key = value");
  for (const char* section : {"[]", "[train.]", "[.]", "[.train]"})
    EXPECT_EQ(refusal_of_recipe(fmt::format("# a recipe\n{}\nbatch = 3\n", section)),
              fmt::format("r.cfg:2: '{}' names no section: write it as [train]", section));
  EXPECT_NE(refusal([] { read_recipe("/nonexistent/r.cfg"); }), "accepted");
}

TEST(Nearest, PrefersTheSmallestDistanceAndKnowsWhenNoneIsNear) {
  const std::vector<std::string> words{"train.batch", "train.steps", "gan.loss"};
  EXPECT_EQ(nearest("train.step", words), "train.steps");
  EXPECT_EQ(nearest("los", words), "gan.loss");
  EXPECT_EQ(nearest("watermelon", words), "");
  EXPECT_EQ(nearest("x", {}), "");
}

}  // namespace
}  // namespace ganymede
