#include "datasets/image_listing.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace ganymede {
namespace {

using Kind = ImageListing::Kind;

TEST(ImageListing, SortsByClassThenName) {
  ImageListing listing("");
  // '-' sorts before '/': comparing whole paths would put a-b before a.
  for (const char* path : {"a/2.jpg", "a-b/1.png", "./a/10.JPG", "root.jpeg", "a/deep/0.png"})
    listing.add(path);
  const auto [contents, index_of] = listing.finish("source");
  EXPECT_EQ(contents.names,
            (std::vector<std::string>{"root.jpeg", "a/10.JPG", "a/2.jpg", "a/deep/0.png", "a-b/1.png"}));
  EXPECT_EQ(contents.labels, (std::vector<std::int64_t>{-1, 0, 0, 0, 1}));
  EXPECT_EQ(contents.class_names, (std::vector<std::string>{"a", "a-b"}));
  EXPECT_EQ(index_of, (std::vector<std::int64_t>{2, 4, 1, 0, 3}));
}

TEST(ImageListing, TellsWhichImageIsFirstSoFar) {
  ImageListing listing("");
  EXPECT_EQ(listing.add("b/1.jpg"), Kind::first_image);
  EXPECT_EQ(listing.add("b/2.jpg"), Kind::image);
  EXPECT_EQ(listing.add("a/9.jpg"), Kind::first_image);
  EXPECT_EQ(listing.add("a/.9.jpg"), Kind::skipped);
}

TEST(ImageListing, RestrictsToAFolderAndCountsWhatItSkips) {
  ImageListing listing("./train/");
  for (const char* path : {"train/a/1.png", "train/a/1.txt", "train/__MACOSX/a/1.png", "train/.x/1.png",
                           "trainer/a/2.png", "test/a/3.png", "train/README"})
    listing.add(path);
  const auto [contents, index_of] = listing.finish("source");
  EXPECT_EQ(contents.names, (std::vector<std::string>{"a/1.png"}));
  EXPECT_EQ(contents.skipped,
            (std::map<std::string, std::int64_t>{{"hidden", 2}, {".txt", 1}, {"no extension", 1}}));
}

std::string failure_of(ImageListing& listing) {
  try {
    listing.finish("source");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::dataset);
    return error.what();
  }
  return "";
}

TEST(ImageListing, NamesTheFoldersThatAreThere) {
  ImageListing listing("train");
  listing.add("training/a/1.png");
  EXPECT_NE(failure_of(listing).find("training/a/"), std::string::npos);
}

TEST(ImageListing, RefusesAPathTwice) {
  ImageListing listing("");
  listing.add("a/1.png");
  listing.add("./a/1.png");
  EXPECT_NE(failure_of(listing).find("a/1.png twice"), std::string::npos);
}

}  // namespace
}  // namespace ganymede
