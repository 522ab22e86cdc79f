#include "launch/pictures/picture.h"

#include <gtest/gtest.h>

#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

PictureOptions options_of(const std::string& picture, const std::map<std::string, std::string>& flags) {
  CommandLine line;
  for (const auto& [name, value] : flags) line.flags[name] = {value};
  return read_picture_options(line, find_picture(picture));
}

std::string refusal_of(const std::string& picture, const std::map<std::string, std::string>& flags) {
  return expect_error(ExitCode::options, [&] { options_of(picture, flags); });
}

TEST(PictureOptions, HaveDefaultsOfEachPicture) {
  EXPECT_EQ(options_of("grid", {}).count, 64);
  EXPECT_EQ(options_of("interpolation", {}).frames, 8);
  EXPECT_EQ(options_of("film", {}).frames, 24);
  EXPECT_EQ(options_of("codes", {}).code, -1);
  EXPECT_EQ(options_of("codes", {{"code", "2"}}).code, 2);
  EXPECT_EQ(options_of("classes", {{"count", "3"}}).indices(), std::vector<std::int64_t>({0, 1, 2}));
  EXPECT_EQ(options_of("film", {{"images", "7,3,7"}}).indices(), std::vector<std::int64_t>({7, 3, 7}));
}

TEST(PictureOptions, NameLayersByTheFirstAndTheLast) {
  const PictureOptions several = options_of("mixing", {{"layers", "4-7"}}),
                       one = options_of("mixing", {{"layers", "2"}});
  EXPECT_EQ(std::pair(several.first_layer, several.last_layer), std::pair(std::int64_t{4}, std::int64_t{7}));
  EXPECT_EQ(std::pair(one.first_layer, one.last_layer), std::pair(std::int64_t{2}, std::int64_t{2}));
  for (const char* layers : {"7-4", "1-2-3"})
    EXPECT_NE(refusal_of("mixing", {{"layers", layers}}).find("--layers"), std::string::npos) << layers;
}

TEST(PictureOptions, OfAnotherPictureAreRefused) {
  EXPECT_EQ(refusal_of("grid", {{"frames", "3"}}),
            "--frames is for --picture interpolation, film, codes, trajectory, not grid: leave it out");
  EXPECT_NE(refusal_of("classes", {{"code", "1"}}).find("--code"), std::string::npos);
  EXPECT_NE(refusal_of("interpolation", {{"fps", "3"}}).find("--fps"), std::string::npos);
  EXPECT_NE(refusal_of("trajectory", {{"scales", "1,2"}}).find("--scales"), std::string::npos);
  EXPECT_NE(refusal_of("classes", {{"path", "lerp"}}).find("--path"), std::string::npos);
  EXPECT_NE(refusal_of("arithmetic", {{"terms", "1-2"}, {"count", "3"}}).find("--count"), std::string::npos);
  EXPECT_NE(refusal_of("film", {{"images", "1,2"}, {"count", "2"}}).find("--images and --count"),
            std::string::npos);
}

TEST(PictureOptions, OutOfRangeOrMissingAreRefused) {
  EXPECT_NE(refusal_of("film", {{"images", "1"}}).find("needs 2 images"), std::string::npos);
  EXPECT_NE(refusal_of("interpolation", {{"count", "1"}}).find("out of range"), std::string::npos);
  EXPECT_NE(refusal_of("codes", {{"code", "-1"}}).find("out of range"), std::string::npos);
  EXPECT_NE(refusal_of("interpolation", {{"frames", "1"}}).find("out of range"), std::string::npos);
  EXPECT_NE(refusal_of("guidance", {{"scales", "1,,2"}}).find("--scales"), std::string::npos);
  EXPECT_NE(refusal_of("film", {{"path", "straight"}}).find("slerp"), std::string::npos);
  EXPECT_NE(refusal_of("arithmetic", {}).find("--terms is missing"), std::string::npos);
  EXPECT_NE(refusal_of("neighbours", {}).find("--reference is missing"), std::string::npos);
  const std::string unknown = expect_error(ExitCode::options, [] { find_picture("collage"); });
  EXPECT_NE(unknown.find("interpolation"), std::string::npos) << "the names are listed";
}

TEST(Pictures, AreExplainedAndTakeFlagsThatThereAre) {
  const std::vector<Flag> flags = picture_flags();
  for (const PictureKind& picture : pictures()) {
    EXPECT_NE(picture_help().find(picture.name), std::string::npos);
    for (const std::string_view flag : picture.flags)
      EXPECT_TRUE(std::ranges::any_of(flags, [&](const Flag& known) { return known.name == flag; })) << flag;
  }
}

}  // namespace
}  // namespace ganymede
