#include "core/manifest.h"

#include <gtest/gtest.h>

#include "core/hash.h"
#include "tests/core/saved_checkpoint.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

Manifest some_manifest() {
  const NamedTensors tensors = {{"a", at::empty({10})}, {"b", at::empty({2, 3}, at::kHalf)}};
  return {Manifest::current_version,
          7,
          {{"images", 448}, {"rate", 0.1}},
          {{shard_name(0, 2), 200, 1}, {shard_name(1, 2), 220, ~0ull}},
          lay_out(tensors, 2)};
}

/// The manifest after `change` to its content, sealed as if it had been written so.
std::string forged(const std::function<void(nlohmann::json&)>& change) {
  nlohmann::json content = nlohmann::json::parse(some_manifest().to_text())["content"];
  change(content);
  const std::string text = "{\n\"content\": " + content.dump();
  return text + ",\n\"xxh3\": \"" + hex(Xxh3::of(text)) + "\"\n}\n";
}

TEST(Manifest, ReturnsAsWritten) {
  const Manifest written = some_manifest();
  const Manifest read = Manifest::parse(written.to_text(), "here");
  EXPECT_EQ(read.step, 7);
  EXPECT_EQ(read.header, written.header);
  EXPECT_EQ(read.shards, written.shards);
  EXPECT_EQ(read.to_text(), written.to_text());
  EXPECT_EQ(forged([](nlohmann::json&) {}), written.to_text());
}

TEST(Manifest, AnyChangedByteIsSeen) {
  const std::string text = some_manifest().to_text();
  for (std::size_t i = 0; i < text.size(); ++i)
    for (const int flip : {1, 4, 32, 128, 255}) {
      std::string damaged = text;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      EXPECT_THROW(Manifest::parse(damaged, "here"), Error) << i;
    }
}

TEST(Manifest, AnyCutOrAdditionIsSeen) {
  const std::string text = some_manifest().to_text();
  for (std::size_t size = 0; size < text.size(); ++size)
    EXPECT_THROW(Manifest::parse(text.substr(0, size), "here"), Error) << size;
  EXPECT_THROW(Manifest::parse(text + "\n", "here"), Error);
  EXPECT_THROW(Manifest::parse(" " + text, "here"), Error);
}

TEST(Manifest, RefusesWhatDoesNotFitTogether) {
  using Json = nlohmann::json;
  const std::pair<const char*, std::function<void(Json&)>> breaches[] = {
      {"format version 2", [](Json& c) { c["version"] = 2; }},
      {"\"version\" is missing", [](Json& c) { c.erase("version"); }},
      {"not a count", [](Json& c) { c["step"] = -1; }},
      {"\"header\" is missing", [](Json& c) { c.erase("header"); }},
      {"0 shards", [](Json& c) { c["shards"] = Json::array(); }},
      {"not a list", [](Json& c) { c["shards"] = 3; }},
      {"instead of shard-00001-of-00002", [](Json& c) { c["shards"][1]["name"] = "../../secret"; }},
      {"instead of shard-00000-of-00002", [](Json& c) { std::swap(c["shards"][0], c["shards"][1]); }},
      {"not an XXH3 digest", [](Json& c) { c["shards"][0]["xxh3"] = "0X00000000000001"; }},
      {"not a count", [](Json& c) { c["shards"][0]["size"] = -1; }},
      {"too small to hold", [](Json& c) { c["shards"][0]["size"] = 25; }},
      {"two tensors are called", [](Json& c) { c["tensors"][1]["name"] = c["tensors"][0]["name"]; }},
      {"for another tensor already",
       [](Json& c) { c["tensors"][1]["pieces"][0]["key"] = c["tensors"][0]["pieces"].back()["key"]; }},
      {"not known here", [](Json& c) { c["tensors"][0]["dtype"] = "F8"; }},
      {"overflows",
       [](Json& c) {
         c["tensors"][0]["shape"] = {1ull << 40, 1ull << 40};
       }},
      {"there is no shard 2", [](Json& c) { c["tensors"][0]["pieces"][0]["shard"] = 2; }},
      {"overlap or leave a hole", [](Json& c) { c["tensors"][1]["pieces"][0]["first"] = 1; }},
      {"overlap or leave a hole", [](Json& c) { c["tensors"][1]["pieces"][0]["count"] = 7; }},
      {"end at element", [](Json& c) { c["tensors"][1]["pieces"].back()["count"] = 1; }},
      {"end at element", [](Json& c) { c["tensors"][1]["pieces"] = Json::array(); }},
      {"\"pieces\" is missing", [](Json& c) { c["tensors"][1].erase("pieces"); }},
      {"is not text", [](Json& c) { c["tensors"][1]["pieces"][0]["key"] = 1; }},
      {"is not text", [](Json& c) { c["tensors"][1]["name"] = Json::array(); }},
      {"is missing", [](Json& c) { c = 7; }},
  };
  for (const auto& [part, breach] : breaches) {
    const std::string text = forged(breach);
    const std::string message =
        expect_error(ExitCode::checkpoint, [&text] { Manifest::parse(text, "manifest X"); });
    EXPECT_NE(message.find(part), std::string::npos) << part << " not in: " << message;
  }
}

TEST(Manifest, NamesTellTheirStep) {
  EXPECT_EQ(checkpoint_name(1000), "step-000001000");
  EXPECT_EQ(step_of("runs/x/step-000001000"), 1000);
  EXPECT_EQ(step_of("runs/x/step-000001000/"), 1000);
  EXPECT_EQ(step_of("step-000001000.replaced"), 1000);
  for (const char* name : {"step-1000", "step-0000001000", "step-00000100x", "step--00001000", "step-",
                           "step-000001000.tmp-a", "trash-step-000001000", "best", ""})
    EXPECT_EQ(step_of(name), std::nullopt) << name;
  expect_error(ExitCode::checkpoint, [] { checkpoint_name(1'000'000'000); });
}

TEST(Manifest, FolderMustTellTheSameStep) {
  const TemporaryFolder folder;
  const std::filesystem::path saved = save({folder.path(), 3}, 7, some_tensors(1), 1);
  std::filesystem::rename(saved, folder / "step-000000008");
  expect_error(ExitCode::checkpoint, [&] { read_manifest(folder / "step-000000008"); });
  std::filesystem::rename(folder / "step-000000008", folder / "the best");
  EXPECT_EQ(read_manifest(folder / "the best").step, 7);
}

TEST(Manifest, RefusesAHeaderThatIsNoText) {
  Manifest manifest = some_manifest();
  manifest.header["path"] = "\xff";
  expect_error(ExitCode::checkpoint, [&] { manifest.to_text(); });
}

}  // namespace
}  // namespace ganymede
