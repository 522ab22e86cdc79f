#include "core/safetensors.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <fstream>
#include <random>

#include "core/error.h"
#include "core/hash.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

const at::ScalarType every_dtype[] = {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong,
                                      at::kInt,    at::kShort, at::kChar, at::kByte,     at::kBool};

bool bitwise_equal(const at::Tensor& left, const at::Tensor& right) {
  const at::Tensor a = left.contiguous(), b = right.contiguous();
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() &&
         (a.nbytes() == 0 || std::memcmp(a.data_ptr(), b.data_ptr(), a.nbytes()) == 0);
}

void expect_round_trip(const NamedTensors& tensors) {
  const TemporaryFolder folder;
  const FileRecord record = write_safetensors(folder / "a.safetensors", tensors, {{"made by", "a test"}});
  const std::string text = read_text_file(folder / "a.safetensors", 1 << 30);
  EXPECT_EQ(record, (FileRecord{"a.safetensors", std::ssize(text), Xxh3::of(text)}));
  const SafetensorsFile file = SafetensorsFile::open(folder / "a.safetensors");
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"made by", "a test"}}));
  ASSERT_EQ(file.tensors().size(), tensors.size());
  std::map<std::string, at::Tensor> all;
  EXPECT_EQ(file.read_all([&](const std::string& name) {
    const TensorType& type = file.tensors().at(name).type;
    return all[name] = at::empty(type.shape, at::TensorOptions(type.dtype));
  }),
            record.digest);
  for (const auto& [name, tensor] : tensors) {
    EXPECT_TRUE(bitwise_equal(file.read(name), tensor)) << name;
    EXPECT_TRUE(bitwise_equal(all.at(name), tensor)) << name;
  }
}

TEST(Safetensors, EveryDtypeReturnsBitForBit) {
  NamedTensors tensors;
  for (const at::ScalarType dtype : every_dtype)
    tensors.emplace_back(c10::toString(dtype), at::randint(0, 100, {3, 5}, at::kLong).to(dtype));
  tensors.emplace_back("not a number", at::full({2}, std::nan("")));
  expect_round_trip(tensors);
}

TEST(Safetensors, ScalarsEmptyOnesAndAnyStridesReturn) {
  const at::Tensor images = at::randn({2, 3, 4, 5});
  expect_round_trip({{"scalar", at::scalar_tensor(3.5)},
                     {"empty", at::empty({0, 4})},
                     {"no bytes, one dtype on", at::empty({2, 0}, at::kLong)},
                     {"channels last", images.contiguous(at::MemoryFormat::ChannelsLast)},
                     {"transposed", images.transpose(0, 3)},
                     {"every other", images.slice(3, 0, 5, 2)},
                     {"expanded", at::ones({1, 3}).expand({4, 3})},
                     {"needs a gradient", at::ones({2}).set_requires_grad(true)},
                     {"larger than a block", at::randn({300'001, 3})},
                     {"\"quotes\"\n\u00e4", at::ones({1}, at::kByte)}});
  expect_round_trip({});
}

TEST(Safetensors, WidestElementsComeFirstThenNames) {
  const TemporaryFolder folder;
  const NamedTensors tensors = {
      {"b", at::ones({3}, at::kByte)}, {"z", at::ones({1}, at::kDouble)}, {"c", at::ones({1})},
      {"a", at::ones({1}, at::kByte)}, {"y", at::ones({1}, at::kLong)},   {"h", at::ones({1}, at::kHalf)}};
  const FileRecord record = write_safetensors(folder / "x", tensors);
  const SafetensorsFile file = SafetensorsFile::open(folder / "x");
  std::vector<std::pair<std::int64_t, std::string>> order;
  for (const auto& [name, entry] : file.tensors()) order.emplace_back(entry.begin, name);
  std::sort(order.begin(), order.end());
  std::string names;
  for (const auto& [begin, name] : order) names += name;
  EXPECT_EQ(names, "yzchab");
  const std::string text = read_text_file(folder / "x", 1 << 20);
  EXPECT_EQ((record.size - order.back().first - 3) % 8, 0) << "the data begins aligned";
  EXPECT_EQ(text[8], '{');
  EXPECT_EQ(write_safetensors(folder / "x", {tensors.rbegin(), tensors.rend()}), record);
}

TEST(Safetensors, RefusesToWriteWhatItCouldNotReadBack) {
  const TemporaryFolder folder;
  const at::Tensor one = at::ones({1});
  for (const NamedTensors& tensors :
       {NamedTensors{{"a", one}, {"a", one}}, NamedTensors{{"__metadata__", one}},
        NamedTensors{{"complex", one.to(at::kComplexFloat)}}})
    expect_error(ExitCode::checkpoint, [&] { write_safetensors(folder / "x", tensors); });
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  expect_error(ExitCode::storage, [&] { write_safetensors(folder / "none" / "x", {{"a", one}}); });
}

struct Hostile {
  const char* what;
  std::string header;
  int data_bytes;
  const char* message;  ///< a part of it
};

std::string f32(const char* shape, const char* offsets) {
  return fmt::format(R"({{"dtype":"F32","shape":{},"data_offsets":{}}})", shape, offsets);
}

// Each violates one rule.
const Hostile hostile_files[] = {
    {"no object", "[]", 0, "does not begin with '{'"},
    {"leading space", " {}", 0, "does not begin with '{'"},
    {"empty header", "", 0, "does not begin with '{'"},
    {"open object", R"({"a":)", 0, "not valid JSON"},
    {"text behind", "{} x", 0, "not valid JSON"},
    {"NUL behind", std::string("{}\0 ", 4), 0, "NUL"},
    {"bad UTF-8", "{\"\xff\":" + f32("[1]", "[0,4]") + "}", 4, "not valid JSON"},
    {"deep nesting", R"({"a":)" + std::string(100, '[') + std::string(100, ']') + "}", 0, "nested"},
    {"tensor twice", R"({"a":)" + f32("[1]", "[0,4]") + R"(,"a":)" + f32("[1]", "[4,8]") + "}", 8, "twice"},
    {"member twice", R"({"a":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}})", 4, "twice"},
    {"metadata twice", R"({"__metadata__":{},"__metadata__":{}})", 0, "twice"},
    {"metadata no object", R"({"__metadata__":[]})", 0, "not an object"},
    {"metadata no text", R"({"__metadata__":{"a":1}})", 0, "something else than text"},
    {"tensor no object", R"({"a":7})", 0, "missing"},
    {"no dtype", R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4, "\"dtype\" is missing"},
    {"no shape", R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4, "\"shape\" is missing"},
    {"no offsets", R"({"a":{"dtype":"F32","shape":[1]}})", 4, "\"data_offsets\" is missing"},
    {"unknown member", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", 4,
     "members besides"},
    {"unknown dtype", R"({"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}})", 4, "F31"},
    {"dtype no text", R"({"a":{"dtype":4,"shape":[1],"data_offsets":[0,4]}})", 4, "dtype"},
    {"shape no list", R"({"a":)" + f32("1", "[0,4]") + "}", 4, "not a list"},
    {"negative dimension", R"({"a":)" + f32("[-1]", "[0,4]") + "}", 4, "not a count"},
    {"fractional dimension", R"({"a":)" + f32("[1.0]", "[0,4]") + "}", 4, "not a count"},
    {"dimension over 63 bits", R"({"a":)" + f32("[9223372036854775808]", "[0,4]") + "}", 4, "not a count"},
    {"dimension over 64 bits", R"({"a":)" + f32("[99999999999999999999]", "[0,4]") + "}", 4, "not a count"},
    {"product overflows to 4", R"({"a":)" + f32("[4611686018427387905]", "[0,4]") + "}", 4, "overflows"},
    {"strides overflow", R"({"a":)" + f32("[0,4294967296,4294967296]", "[0,0]") + "}", 0, "overflows"},
    {"offsets no pair", R"({"a":)" + f32("[1]", "[0,4,8]") + "}", 4, "not a pair"},
    {"offsets no list", R"({"a":)" + f32("[1]", "4") + "}", 4, "not a pair"},
    {"negative offset", R"({"a":)" + f32("[1]", "[-4,0]") + "}", 4, "not a count"},
    {"offsets turned round", R"({"a":)" + f32("[0]", "[4,0]") + "}", 4, "needs 0 bytes"},
    {"more bytes than shape", R"({"a":)" + f32("[1]", "[0,8]") + "}", 8, "needs 4 bytes"},
    {"fewer bytes than shape", R"({"a":)" + f32("[3]", "[0,8]") + "}", 8, "needs 12 bytes"},
    {"hole at the front", R"({"a":)" + f32("[1]", "[4,8]") + "}", 8, "begins at byte 4"},
    {"hole inside", R"({"a":)" + f32("[1]", "[0,4]") + R"(,"b":)" + f32("[1]", "[8,12]") + "}", 12, "byte 8"},
    {"overlap", R"({"a":)" + f32("[2]", "[0,8]") + R"(,"b":)" + f32("[2]", "[4,12]") + "}", 12, "byte 4"},
    {"same bytes twice", R"({"a":)" + f32("[1]", "[0,4]") + R"(,"b":)" + f32("[1]", "[0,4]") + "}", 4,
     "byte 0"},
    {"bytes left over", R"({"a":)" + f32("[1]", "[0,4]") + "}", 5, "the file has 5"},
    {"bytes without tensor", "{}", 1, "the file has 1"},
    {"bytes missing", R"({"a":)" + f32("[1]", "[0,4]") + "}", 3, "the file has 3"},
    {"end over 63 bits", R"({"a":)" + f32("[1]", "[0,18446744073709551615]") + "}", 4, "not a count"},
};

std::string file_of(std::uint64_t length, std::string_view header, int data_bytes) {
  std::string text(8, '\0');
  std::memcpy(text.data(), &length, 8);
  return text.append(header).append(static_cast<std::size_t>(data_bytes), '\0');
}

std::string message_on(const std::string& text) {
  const TemporaryFolder folder;
  write_file_durably(folder / "bad.safetensors", text);
  return expect_error(ExitCode::checkpoint, [&] { SafetensorsFile::open(folder / "bad.safetensors"); });
}

TEST(Safetensors, RefusesEveryBreachOfTheFormat) {
  for (const Hostile& hostile : hostile_files) {
    SCOPED_TRACE(hostile.what);
    const std::string message =
        message_on(file_of(hostile.header.size(), hostile.header, hostile.data_bytes));
    EXPECT_NE(message.find("bad.safetensors"), std::string::npos) << message;
    EXPECT_NE(message.find(hostile.message), std::string::npos) << message;
  }
}

TEST(Safetensors, AcceptsWhatTheBreachesWereMadeFrom) {
  const TemporaryFolder folder;
  const std::string header = R"({"b":)" + f32("[1]", "[8,12]") + R"(,"a":)" + f32("[2]", "[0,8]") +
                             R"(,"e":)" + f32("[3,0]", "[8,8]") + R"(,"__metadata__":{"k":"v"}})" + "  \n";
  write_file_durably(folder / "good", file_of(header.size(), header, 12));
  const SafetensorsFile file = SafetensorsFile::open(folder / "good");
  EXPECT_EQ(file.tensors().size(), 3u);
  EXPECT_EQ(file.read("e").sizes().vec(), (std::vector<std::int64_t>{3, 0}));
  expect_error(ExitCode::checkpoint, [&] { file.read("c"); });
}

TEST(Safetensors, RefusesWrongHeaderLengths) {
  EXPECT_NE(message_on("1234567").find("too few"), std::string::npos);
  EXPECT_NE(message_on(file_of(3, "{}", 0)).find("cut short"), std::string::npos);
  EXPECT_NE(message_on(file_of(100'000'000, "{}", 0)).find("cut short"), std::string::npos);
  EXPECT_NE(message_on(file_of(100'000'001, "{}", 0)).find("100000001"), std::string::npos);
  EXPECT_NE(message_on(file_of(~0ull, "{}", 0)).find("pickled"), std::string::npos);
  message_on("PK\x03\x04 the beginning of a zip file, such as torch.save writes");
}

TEST(Safetensors, RandomDamageIsRefusedOrHarmless) {
  const TemporaryFolder folder;
  write_safetensors(folder / "x", {{"a", at::ones({2, 3})}, {"b", at::ones({5}, at::kBool)}}, {{"k", "v"}});
  const std::string text = read_text_file(folder / "x", 1 << 20);
  std::mt19937 random(1);
  const std::string alphabet = "\"{}[],:0129-eE. \\u\xff\x01FIBOL";
  int refused = 0;
  for (int mutant = 0; mutant < 1000; ++mutant) {
    std::string damaged = text;
    for (unsigned changes = random() % 3 + 1; changes > 0; --changes) {
      const std::size_t at = random() % damaged.size();
      if (random() % 4 == 0)
        damaged.erase(at, random() % 3);
      else if (random() % 3 == 0)
        damaged.insert(at, 1, alphabet[random() % alphabet.size()]);
      else
        damaged[at] = alphabet[random() % alphabet.size()];
    }
    std::ofstream(folder / "x", std::ios::binary) << damaged;
    try {
      const SafetensorsFile file = SafetensorsFile::open(folder / "x");
      for (const auto& [name, entry] : file.tensors()) EXPECT_EQ(TensorType::of(file.read(name)), entry.type);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::checkpoint) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 300);
  EXPECT_LT(refused, 1000) << "renaming a tensor is no breach of the format";
}

TEST(Safetensors, RefusesWhatIsNoFile) {
  const TemporaryFolder folder;
  expect_error(ExitCode::checkpoint, [&] { SafetensorsFile::open(folder.path()); });
  expect_error(ExitCode::checkpoint, [&] { SafetensorsFile::open(folder / "absent"); });
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  expect_error(ExitCode::checkpoint, [&] { SafetensorsFile::open(folder / "pipe"); });
}

TEST(Safetensors, RefusesBooleansThatAreNone) {
  const TemporaryFolder folder;
  const std::string header = R"({"flag":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})";
  write_file_durably(folder / "x", file_of(header.size(), header, 0) + "\x01\x02");
  const SafetensorsFile file = SafetensorsFile::open(folder / "x");
  const std::string message = expect_error(ExitCode::checkpoint, [&] { file.read("flag"); });
  EXPECT_NE(message.find("flag"), std::string::npos);
  expect_error(ExitCode::checkpoint,
               [&] { file.read_all([](const std::string&) { return at::empty({2}, at::kBool); }); });
}

}  // namespace
}  // namespace ganymede
