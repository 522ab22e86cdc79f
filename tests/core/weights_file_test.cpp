#include "core/weights_file.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/hash.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

TEST(WeightsFile, SafetensorsComeThrough) {
  const TemporaryFolder folder;
  write_safetensors(folder / "a.bin",
                    {{"b", at::arange(6).reshape({2, 3})}, {"a", at::ones({2}, at::kHalf)}});
  const WeightsFile file = WeightsFile::open(folder / "a.bin");
  EXPECT_EQ(file.format(), WeightsFormat::safetensors);
  EXPECT_EQ(file.path(), folder / "a.bin");
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.tensors().begin()->first, "a");
  EXPECT_EQ(file.tensors().at("b"), (TensorType{at::kLong, {2, 3}}));
  EXPECT_TRUE(file.read("b").equal(at::arange(6).reshape({2, 3})));
  EXPECT_TRUE(file.contains("a") && !file.contains("c"));
  expect_error(ExitCode::checkpoint, [&] { file.read("c"); });
}

// The first byte is anything: a pickle's, a web page's.
TEST(WeightsFile, SafetensorsOfAnyHeaderLengthAreKnown) {
  const TemporaryFolder folder;
  for (std::uint64_t length = 2; length < 300; ++length) {
    const std::string header = "{}" + std::string(length - 2, ' ');
    File::create(folder / "x").write(std::string(reinterpret_cast<const char*>(&length), 8) + header);
    EXPECT_EQ(WeightsFile::open(folder / "x").format(), WeightsFormat::safetensors) << length;
  }
}

// The recipe in the header, byte by byte.
TEST(WeightsFile, TheDigestIsOfNamesTypesAndNumbers) {
  using namespace std::string_literals;
  const TemporaryFolder folder;
  const auto digest = [&](const NamedTensors& tensors) {
    write_safetensors(folder / "x", tensors, {{"made", "twice"}});
    return WeightsFile::open(folder / "x").digest();
  };
  const at::Tensor two = at::arange(1, 3, at::kByte);
  EXPECT_EQ(digest({{"bc", two}, {"a", at::zeros({}, at::kBool)}}),
            Xxh3::of("\1\0\0\0\0\0\0\0aBOOL []\n\0\2\0\0\0\0\0\0\0bcU8 [2]\n\1\2"s));
  EXPECT_EQ(digest({}), Xxh3::of(""));
  EXPECT_NE(digest({{"a", two}}), digest({{"b", two}}));
  EXPECT_NE(digest({{"a", two}}), digest({{"a", two.to(at::kChar)}}));
  EXPECT_NE(digest({{"a", two}}), digest({{"a", two.reshape({2, 1})}}));
  EXPECT_NE(digest({{"a", two}}), digest({{"a", two + 1}}));
}

TEST(WeightsFile, WhatIsNoneIsRefusedByWhatItIs) {
  const TemporaryFolder folder;
  const auto message = [&](const std::string& contents) {
    File::create(folder / "x").write(contents);
    return expect_error(ExitCode::checkpoint, [&] { WeightsFile::open(folder / "x"); });
  };
  EXPECT_NE(message("").find("(0 bytes) is no weights file"), std::string::npos);
  EXPECT_NE(message("\1\2\3").find("no weights file"), std::string::npos);
  EXPECT_NE(message("version https://git-lfs.github.com/spec/v1").find("Git LFS"), std::string::npos);
  EXPECT_NE(message("<html>").find("web page"), std::string::npos);
  EXPECT_NE(message(std::string("\xff\0\0\0\0\0\0\0{", 9)).find("cut short"), std::string::npos);
  expect_error(ExitCode::checkpoint, [&] { weights_format(folder / "none"); });
  expect_error(ExitCode::checkpoint, [&] { weights_format(folder.path()); });
}

}  // namespace
}  // namespace ganymede
