#include "core/torch_file.h"

#include <gtest/gtest.h>

#include <cstring>

#include "core/error.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

using namespace std::string_literals;

std::string u16(std::size_t value) {
  return std::string(reinterpret_cast<const char*>(&value), 2);
}

std::string u32(std::size_t value) {
  return std::string(reinterpret_cast<const char*>(&value), 4);
}

std::string u64(std::size_t value) {
  return std::string(reinterpret_cast<const char*>(&value), 8);
}

std::string floats(int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) {
    const auto value = static_cast<float>(i);
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  return bytes;
}

// Opcodes of protocol 2, as torch.save writes them.
std::string text(const std::string& value) {
  return "X"s + u32(value.size()) + value;
}

std::string integer(std::int64_t value) {
  return "\x8a\x08"s + u64(static_cast<std::size_t>(value));
}

std::string tuple(const std::vector<std::int64_t>& values) {
  std::string bytes = "(";
  for (const std::int64_t value : values) bytes += integer(value);
  return bytes + "t";
}

struct View {
  std::string storage_type = "torch\nFloatStorage";
  std::string key = "0";
  std::int64_t storage_numel = 6;
  std::int64_t offset = 0;
  std::vector<std::int64_t> shape{2, 3};
  std::vector<std::int64_t> strides{3, 1};
};

std::string tensor(const View& view, bool is_legacy) {
  const std::string storage = "("s + text("storage") + "c" + view.storage_type + "\n" + text(view.key) +
                              text("cpu") + integer(view.storage_numel) + (is_legacy ? "Nt" : "t");
  return "ctorch._utils\n_rebuild_tensor_v2\n("s + storage + "Q" + integer(view.offset) + tuple(view.shape) +
         tuple(view.strides) + "\x89" + "ccollections\nOrderedDict\n)RtR";
}

struct ZipEntry {
  std::string name;
  std::string bytes;
};

/// As torch writes it, with a Zip64 record behind the directory.
std::string zip(const std::vector<ZipEntry>& entries) {
  std::string file, directory;
  for (const auto& [name, bytes] : entries) {
    const std::string sizes = u32(crc32_of(std::as_bytes(std::span(bytes)))) + u32(bytes.size()) +
                              u32(bytes.size()) + u16(name.size());
    const std::string head = u16(0) + u16(0) + u32(0) + sizes;  // flags, method, time and date
    directory += "PK\1\2"s + u16(0) + u16(0) + head + u16(0) + u16(0) + u16(0) + u16(0) + u32(0) +
                 u32(file.size()) + name;
    file += "PK\3\4"s + u16(0) + head + u16(0) + name + bytes;
  }
  const std::string end64 = "PK\6\6"s + u64(44) + u32(0) + u32(0) + u32(0) + u64(entries.size()) +
                            u64(entries.size()) + u64(directory.size()) + u64(file.size());
  const std::string locator = "PK\6\7"s + u32(0) + u64(file.size() + directory.size()) + u32(1);
  const std::string end = "PK\5\6"s + u16(0) + u16(0) + u16(entries.size()) + u16(entries.size()) +
                          u32(directory.size()) + u32(file.size()) + u16(0);
  return file + directory + end64 + locator + end;
}

std::string zip_of(const View& view, int numbers = 6) {
  return zip({{"a/data.pkl", "\x80\x02}"s + text("w") + tensor(view, false) + "s."},
              {"a/byteorder", "little"},
              {"a/data/0", floats(numbers)}});
}

std::string legacy_of(const View& view, int numbers = 6) {
  return "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}"s +
         text("little_endian") + "\x88s.\x80\x02}" + text("w") + tensor(view, true) + "s.\x80\x02]" +
         text(view.key) + "a." + u64(static_cast<std::size_t>(numbers)) + floats(numbers);
}

class TorchFiles : public testing::Test {
 protected:
  TorchFile open(const std::string& bytes) {
    File::create(path_).write(bytes);
    const TorchFile::Format format = TorchFile::format_of(File::open_for_reading(path_));
    if (format == TorchFile::Format::other) fail(ExitCode::checkpoint, "another format");
    if (format == TorchFile::Format::program) fail(ExitCode::checkpoint, "a program");
    return TorchFile::open(File::open_for_reading(path_), format);
  }

  void expect_refusal(const std::string& bytes, const std::string& part) {
    const std::string message = expect_error(ExitCode::checkpoint, [&] { open(bytes).read("w"); });
    EXPECT_NE(message.find(part), std::string::npos) << message << "\nlacks " << part;
  }

  /// Whether the file is refused as a whole or in part; what is read has the bytes that `names` say.
  bool is_refused(const std::string& bytes) {
    try {
      const TorchFile file = open(bytes);
      for (const auto& [name, described] : file.tensors())
        EXPECT_EQ(file.read(name).nbytes(), static_cast<std::size_t>(described.type.bytes()));
      return false;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::checkpoint) << error.what();
      return true;
    }
  }

  TemporaryFolder folder_;
  const std::filesystem::path path_ = folder_ / "a.pth";
};

using Maker = std::string (*)(const View& view, int numbers);
constexpr Maker makers[] = {zip_of, legacy_of};

TEST_F(TorchFiles, ViewsComeOutContiguous) {
  const at::Tensor numbers = at::arange(6, at::kFloat);
  for (const Maker make : makers) {
    EXPECT_TRUE(open(make({}, 6)).read("w").equal(numbers.reshape({2, 3})));
    const TorchFile transposed = open(make({.shape = {3, 2}, .strides = {1, 3}}, 6));
    EXPECT_TRUE(transposed.read("w").equal(numbers.reshape({2, 3}).t()));
    EXPECT_TRUE(transposed.read("w").is_contiguous());
    EXPECT_TRUE(open(make({.offset = 1, .shape = {2}, .strides = {4}}, 6))
                    .read("w")
                    .equal(numbers.index({at::indexing::Slice(1, 6, 4)})));
    EXPECT_TRUE(open(make({.offset = 5, .shape = {}, .strides = {}}, 6)).read("w").equal(numbers[5]));
    EXPECT_TRUE(open(make({.offset = 2, .shape = {4, 3}, .strides = {0, 0}}, 6))
                    .read("w")
                    .equal(at::full({4, 3}, 2.0F)));
    EXPECT_EQ(open(make({.offset = 9, .shape = {0, 5}, .strides = {5, 1}}, 6)).read("w").sizes(),
              (at::IntArrayRef{0, 5}));
    EXPECT_TRUE(open(make({.offset = 4, .shape = {1, 1}, .strides = {std::int64_t{1} << 62, 7}}, 6))
                    .read("w")
                    .equal(numbers[4].reshape({1, 1})));
  }
}

struct Bad {
  View view;
  const char* part;
};

const Bad bad_views[] = {
    {{.offset = 1}, "reaches beyond its storage \"0\" of 6"},
    {{.shape = {2, 4}}, "reaches beyond"},
    {{.strides = {4, 1}}, "reaches beyond"},
    {{.offset = -1}, "offset is no count"},
    {{.strides = {-3, 1}}, "strides is no count"},
    {{.shape = {-2, 3}}, "shape is no count"},
    {{.strides = {1}}, "2 dimensions with 1 strides"},
    {{.shape = {std::int64_t{1} << 62, 3}}, "overflows"},
    {{.shape = {0, std::int64_t{1} << 40, std::int64_t{1} << 40}, .strides = {1, 1, 1}}, "overflows"},
    {{.strides = {std::int64_t{1} << 62, std::int64_t{1} << 62}}, "reaches beyond"},
    {{.offset = std::numeric_limits<std::int64_t>::max()}, "reaches beyond"},
    {{.shape = {1000, 1000}, .strides = {0, 0}}, "far more than the file's"},
    {{.shape = std::vector<std::int64_t>(65, 1), .strides = std::vector<std::int64_t>(65, 1)}, "at most 64"},
    {{.storage_numel = 5, .shape = {5}, .strides = {1}}, ""},
    {{.storage_numel = 7}, ""},
    {{.storage_numel = std::int64_t{1} << 60}, ""},
    {{.storage_numel = -1}, "is no count"},
    {{.storage_type = "torch\nDoubleStorage", .shape = {}, .strides = {}}, ""},
    {{.storage_type = "torch._utils\n_rebuild_tensor_v2"}, "no known type"},
    {{.key = std::string(101, '0')}, "a storage's id that is not torch's"},
    {{.key = "1"}, ""},
};

TEST_F(TorchFiles, ViewsThatDoNotFitAreRefused) {
  for (const Bad& bad : bad_views) {
    expect_refusal(zip_of(bad.view), bad.part);
    if (bad.view.key != "1") expect_refusal(legacy_of(bad.view), bad.part);
  }
}

TEST_F(TorchFiles, CallsOfSomethingElseAreRefused) {
  const std::string parameter = "ctorch._utils\n_rebuild_parameter\n(", end = "\x88}tRs.";
  const auto refuse = [&](const std::string& object, const std::string& part) {
    expect_refusal(zip({{"a/data.pkl", "}"s + text("w") + object}}), part);
  };
  refuse(parameter + ")" + end, "something else than a tensor");
  refuse(parameter + "N" + end, "something else than a tensor");
  refuse("ctorch._utils\n_rebuild_parameter\n)Rs.", "lacks an argument");
  refuse(parameter + parameter + "N\x88}tR" + end, "_rebuild_parameter with 3 arguments");
  refuse("ctorch._utils\n_rebuild_tensor_v2\n)Rs.", "_rebuild_tensor_v2 with 0 arguments");
  refuse("ctorch._utils\n_rebuild_tensor\n(K\1K\1K\1K\1tRs.", "a tensor without storage");
  refuse("ctorch\nFloatStorage\n)Rs.", "torch.FloatStorage with 0 arguments");
  for (const std::string id : {"N", ")", "N\x85", "K\1"})
    refuse(id + "Qs.", "a persistent id that is not torch's");
  refuse(text("module") + "N\x86Qs.", "holds code (a persistent id of kind \"module\")");
  refuse(text("storage") + "N\x86Qs.", "a storage's id that is not torch's");
}

TEST_F(TorchFiles, FlippedNumbersOfAZipAreTold) {
  const std::string good = zip_of({});
  const std::size_t begin = good.find(floats(6));
  for (std::size_t at = begin; at < begin + 24; ++at) {
    std::string flipped = good;
    flipped[at] = static_cast<char>(flipped[at] ^ 1);
    expect_refusal(flipped, "CRC-32");
  }
}

TEST_F(TorchFiles, BooleansAreZeroOrOne) {
  const View whole{.storage_type = "torch\nBoolStorage", .storage_numel = 24};
  View ones = whole;
  ones.offset = 6;  // bytes of the number 1
  EXPECT_TRUE(open(zip_of(whole)).read("w").logical_not().all().item<bool>());
  expect_refusal(zip_of(ones), "neither 0 nor 1");
}

TEST_F(TorchFiles, EveryTruncationIsRefused) {
  for (const Maker make : makers) {
    const std::string good = make({}, 6);
    for (std::size_t length = 0; length < good.size(); ++length)
      EXPECT_TRUE(is_refused(good.substr(0, length))) << length;
    EXPECT_TRUE(is_refused(good + "x"));
  }
}

TEST_F(TorchFiles, EveryFlipIsAnErrorOrATensor) {
  for (const Maker make : makers) {
    const std::string good = make({}, 6);
    int refused = 0, flips = 0;
    for (std::size_t at = 0; at < good.size(); ++at)
      for (const int mask : {1, 0x80, 0xff}) {
        std::string flipped = good;
        flipped[at] = static_cast<char>(flipped[at] ^ mask);
        refused += is_refused(flipped) ? 1 : 0;
        ++flips;
      }
    // Flips in the CRC-checked parts of a zip, and in most of a pickle, show.
    EXPECT_GT(refused, flips / 3);
  }
}

TEST_F(TorchFiles, ProgramsAndOtherZipsAreTold) {
  expect_refusal(zip({{"a/data.pkl", "}."}, {"a/code/__torch__.py", ""}}), "a program");
  expect_refusal(zip({{"a/data.pkl", "}."}, {"a/constants.pkl", "]."}}), "a program");
  expect_refusal(zip({{"readme", ""}}), "0 entries data.pkl");
  expect_refusal(zip({{"a/data.pkl", "}."}, {"b/data.pkl", "}."}}), "2 entries data.pkl");
  expect_refusal(zip({{"a/data.pkl", "}."}, {"a/data.pkl", "}."}}), "there twice");
  expect_refusal(zip({{"a/data.pkl", "}."}, {"a/byteorder", "big"}}), "big-endian");
}

TEST_F(TorchFiles, CodeIsRefused) {
  const std::string code = "}"s + text("w") + "cos\nsystem\n" + text("exit 1") + "\x85Rs.";
  expect_refusal(zip({{"a/data.pkl", code}}), "holds code (os.system");
  std::string legacy = legacy_of({});
  legacy.insert(legacy.find("ctorch._utils"), "cos\nsystem\n"s + text("exit 1") + "\x85R0");
  expect_refusal(legacy, "holds code (os.system");
  expect_refusal("\x80\x04\x8c\x02os\x8c\x06system\x93.", "holds code (os.system");
}

}  // namespace
}  // namespace ganymede
