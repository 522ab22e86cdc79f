#include "core/pickle.h"

#include <gtest/gtest.h>

#include <cstring>

#include "core/error.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

using namespace std::string_literals;
using Kind = Pickle::Kind;

constexpr std::string_view known[] = {"a.function"};

/// "[1,{"x":None}]": lists in brackets, tuples in parentheses, calls as name(...), persistent ids as @id.
std::string text_of(const Pickle& pickle, const Pickle::Value& value) {
  const auto joined = [&](const char* open, const char* close, std::size_t group) {
    std::string text = open;
    for (std::size_t i = 0; i < value.items.size(); ++i)
      text.append(i == 0 ? "" : i % group == 0 ? "," : ":").append(text_of(pickle, pickle[value.items[i]]));
    return text + close;
  };
  switch (value.kind) {
    case Kind::none:
      return "None";
    case Kind::boolean:
      return value.integer == 1 ? "True" : "False";
    case Kind::integer:
      return fmt::format("{}", value.integer);
    case Kind::wide:
      return fmt::format("wide {}", value.text.size());
    case Kind::real:
      return fmt::format("{}", value.real);
    case Kind::text:
      return fmt::format("\"{}\"", value.text);
    case Kind::list:
      return joined("[", "]", 1);
    case Kind::tuple:
      return joined("(", ")", 1);
    case Kind::dict:
      return joined("{", "}", 2);
    case Kind::symbol:
      return std::string(value.text);
    case Kind::call:
      return text_of(pickle, pickle[value.items[0]]) + text_of(pickle, pickle[value.items[1]]);
    case Kind::persistent:
      return "@"s + text_of(pickle, pickle[value.items[0]]);
  }
  return "";
}

std::string parsed(const std::string& bytes) {
  const Pickle pickle = Pickle::parse(bytes, known, "FILE");
  EXPECT_EQ(pickle.size(), bytes.size());
  return text_of(pickle, pickle.root());
}

struct Example {
  std::string bytes;
  const char* text;
};

// Each opcode that is followed, by itself or with the fewest others.
const Example examples[] = {
    {"N.", "None"},
    {"\x80\x02\x88.", "True"},
    {"\x80\x02\x89.", "False"},
    {"I01\n.", "True"},
    {"I00\n.", "False"},
    {"I-17\n.", "-17"},
    {"K\xff.", "255"},
    {"M\xff\xff.", "65535"},
    {"J\xfe\xff\xff\xff.", "-2"},
    {"L12L\n.", "12"},
    {"L9223372036854775807L\n.", "9223372036854775807"},
    {"L119547037146038801333356L\n.", "wide 24"},
    {"\x8a\x00."s, "0"},
    {"\x8a\x01\xff.", "-1"},
    {"\x8a\x02\xff\x00."s, "255"},
    {"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80."s, "-9223372036854775808"},
    {"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", "wide 10"},
    {"\x8b\x02\x00\x00\x00\x00\x01."s, "256"},
    {"F0.5\n.", "0.5"},
    {"G\x3f\xf8\x00\x00\x00\x00\x00\x00."s, "1.5"},
    {"U\x02hi.", "\"hi\""},
    {"T\x02\x00\x00\x00hi."s, "\"hi\""},
    {"X\x02\x00\x00\x00hi."s, "\"hi\""},
    {"\x8c\x02hi.", "\"hi\""},
    {"\x8d\x02\x00\x00\x00\x00\x00\x00\x00hi."s, "\"hi\""},
    {"\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00N."s, "None"},
    {"(.", nullptr},
    {").", "()"},
    {"N\x85.", "(None)"},
    {"NN\x86.", "(None,None)"},
    {"NK\x01N\x87.", "(None,1,None)"},
    {"(K\x01K\x02t.", "(1,2)"},
    {"].", "[]"},
    {"(K\x01K\x02l.", "[1,2]"},
    {"]K\x01"
     "a.",
     "[1]"},
    {"](K\x01K\x02"
     "e.",
     "[1,2]"},
    {"}.", "{}"},
    {"(K\x01K\x02"
     "d.",
     "{1:2}"},
    {"}K\x01K\x02s.", "{1:2}"},
    {"}(K\x01K\x02K\x03K\x04u.", "{1:2,3:4}"},
    {"K\x01K\x02"
     "0.",
     "1"},
    {"K\x01(K\x02"
     "1.",
     "1"},
    {"K\x01(0.", "1"},
    {"K\x01"
     "2\x86.",
     "(1,1)"},
    {"K\x05p7\n0g7\n.", "5"},
    {"K\x05q\x07"
     "0h\x07.",
     "5"},
    {"K\x05r\x07\x00\x00\x01"
     "0j\x07\x00\x00\x01."s,
     "5"},
    {"K\x05\x94"
     "0h\x00."s,
     "5"},
    {"ca\nfunction\n.", "a.function"},
    {"\x8c\x01"
     "a\x8c\x08"
     "function\x93.",
     "a.function"},
    {"ca\nfunction\nK\x01\x85R.", "a.function(1)"},
    {"K\x01Q.", "@1"},
    {"ccollections\nOrderedDict\n)R.", "{}"},
    {"ccollections\nOrderedDict\n)RK\x01K\x02s}K\x03K\x04sb.", "{1:2}"},
    {"ccollections\nOrderedDict\n](](K\x01K\x02"
     "ee\x85R.",
     "{1:2}"},
    {"ccollections\nOrderedDict\n]K\x01K\x02\x86"
     "a\x85R.",
     "{1:2}"},
};

TEST(Pickle, FollowsEveryOpcodeOfPlainData) {
  for (const Example& example : examples)
    if (example.text) {
      EXPECT_EQ(parsed(example.bytes), example.text);
    } else {
      EXPECT_THROW(parsed(example.bytes), Error);
    }
}

TEST(Pickle, SaysHowManyBytesItTook) {
  EXPECT_EQ(Pickle::parse("N.N.", {}, "FILE").size(), 2u);
}

TEST(Pickle, SharedAndCyclicValuesAreOne) {
  const std::string bytes =
      "]q\x01h\x01"
      "ah\x01"
      "a.";
  const Pickle pickle = Pickle::parse(bytes, {}, "FILE");
  ASSERT_EQ(pickle.root().items.size(), 2u);
  for (const Pickle::Index index : pickle.root().items) EXPECT_EQ(&pickle[index], &pickle.root());
}

struct Refusal {
  std::string bytes;
  const char* part;  ///< of the message
};

const Refusal refusals[] = {
    {"cos\nsystem\nU\x02id\x85R.", "holds code (os.system, at byte 0 "},
    {"N0cposix\nsystem\n.", "holds code (posix.system, at byte 2 "},
    {"\x8c\x02os\x8c\x06system\x93.", "holds code (os.system"},
    {"c__builtin__\neval\n.", "holds code (__builtin__.eval"},
    {"ca\nfunction2\n.", "holds code (a.function2"},
    {"ca.b\nfunction\n.", "holds code (a.b.function"},
    {"ca\n\xff\x1b[2J\n.", "holds code (a."},
    {"ctorch\nload\n.", "holds code (torch.load"},
    {"ctorch\nComplexFloatStorage\n.", "\"torch.ComplexFloatStorage\" is not read here"},
    {"(ios\nsystem\n.", "holds code (an object of \"os.system\""},
    {"(ca\nfunction\no.", "holds code (OBJ"},
    {"ca\nfunction\n)\x81.", "holds code (NEWOBJ"},
    {"ca\nfunction\n)}\x92.", "holds code (NEWOBJ_EX"},
    {"\x82\x01.", "holds code (EXT1"},
    {"\x83\x01\x01.", "holds code (EXT2"},
    {"\x84\x01\x01\x01\x01.", "holds code (EXT4"},
    {"ca\nfunction\n)R}b.", "holds code (BUILD"},
    {"ca\nfunction\n}b.", "holds code (BUILD"},
    {"}Nb.", "holds code (BUILD"},
    {"N)R.", "holds code (a call of what is not"},
    {"ca\nfunction\n)R)R.", "holds code (a call of what is not"},
    {"ca\nfunction\n]R.", "holds code (a call of what is not"},
    {"B\x01\x00\x00\x00x."s, "bytes"},
    {"C\x01x.", "bytes"},
    {"\x8e\x01\x00\x00\x00\x00\x00\x00\x00x."s, "bytes"},
    {"\x96\x01\x00\x00\x00\x00\x00\x00\x00x."s, "a bytearray"},
    {"\x97.", "a buffer"},
    {"\x98.", "a buffer"},
    {"\x8f.", "a set"},
    {"\x8f(\x90.", "a set"},
    {"(\x91.", "a frozenset"},
    {"P1\n.", "an id in text"},
    {"S'x'\n.", "text of protocol 0"},
    {"Vx\n.", "text of protocol 0"},
    {"\x80\x06N.", "protocol 6"},
    {"\xff.", "0xff is no opcode"},
    {".", "a value is missing"},
    {"(.", "a value is missing"},
    {"NN.", "left over"},
    {"N(N.", "left over"},
    {"0.", "a value is missing"},
    {"1.", "a mark is missing"},
    {"2.", "a value is missing"},
    {"\x85.", "a value is missing"},
    {"N\x86.", "a value is missing"},
    {"N(\x85.", "a value is missing"},
    {"t.", "a mark is missing"},
    {"e.", "a mark is missing"},
    {"Na.", "a value is missing"},
    {"NNa.", "something else than a list"},
    {"(Ne.", "a value is missing"},
    {"})a.", "something else than a list"},
    {"]NNs.", "something else than a dict"},
    {"}(Nu.", "a key without value"},
    {"(Nd.", "a key without value"},
    {"q\x01N.", "a value is missing"},
    {"h\x01.", "remembered as 1"},
    {"gx\n.", "\"x\" is no number"},
    {"Ix\n.", "is no number"},
    {"L\n.", "is no number"},
    {"F\n.", "is no number"},
    {"NN\x93.", "a name that is not text"},
    {"Q.", "a value is missing"},
    {"b.", "a value is missing"},
    {"R.", "a value is missing"},
    {"ccollections\nOrderedDict\n]Na\x85R.", "something else than pairs"},
    {"ccollections\nOrderedDict\n})Ns\x85R.", "something else than pairs"},
    {"", "cut short"},
    {"N", "cut short"},
    {"K.", "cut short"},
    {"cos", "cut short"},
    {"X\xff\xff\xff\xff.", "needs 4294967295 bytes at byte 5, 1 are left"},
    {"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "cut short"},
    {"\x8b\xff\xff\xff\xff.", "cut short"},
    {"\x95\xff\xff\xff\xff\xff\xff\xff\xffN.", "cut short"},
};

TEST(Pickle, RefusesEverythingElseByName) {
  for (const Refusal& refusal : refusals) {
    const std::string message = expect_error(ExitCode::checkpoint, [&] { parsed(refusal.bytes); });
    EXPECT_EQ(message.substr(0, 4), "FILE") << message;
    EXPECT_NE(message.find(refusal.part), std::string::npos) << message << "\nlacks " << refusal.part;
  }
}

TEST(Pickle, EveryByteAloneIsFollowedOrRefused) {
  for (int byte = 0; byte < 256; ++byte)
    for (const std::string rest : {"", ".", "\n\n.", "\x01x.", "(((((((("}) try {
        const std::string bytes = "(](" + std::string(1, static_cast<char>(byte)) + rest;
        Pickle::parse(bytes, known, "FILE");
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::checkpoint);
      }
}

// Nothing that such a pickle builds may grow beyond what its bytes pay for.
TEST(Pickle, CopiesOfWhatIsSharedAreCounted) {
  std::string bytes =
      "ccollections\nOrderedDict\nq\x01"
      "0](";
  for (int i = 0; i < 30'000; ++i) bytes += "NN\x86";
  bytes +=
      "e\x85q\x02"
      "0(";
  for (int i = 0; i < 10'000; ++i) bytes += "h\x01h\x02R";
  bytes += "t.";
  const std::string message = expect_error(ExitCode::checkpoint, [&] { parsed(bytes); });
  EXPECT_NE(message.find("opcodes"), std::string::npos) << message;
  EXPECT_NE(expect_error(ExitCode::checkpoint, [&] { parsed(std::string(5'000'000, 'N')); }).find("opcodes"),
            std::string::npos);
}

TEST(Pickle, DeepNestingIsFlat) {
  const std::string bytes = "N" + std::string(1'000'000, '\x85') + ".";
  EXPECT_EQ(Pickle::parse(bytes, {}, "FILE").values().size(), 1'000'003u);
}

TEST(Pickle, TruncationsAndFlipsAreErrorsOrValues) {
  std::string all = "(";
  for (const Example& example : examples)
    // MEMOIZE counts what is remembered, which others do too.
    if (example.text && example.bytes[0] != '\x80' && example.bytes.find('\x94') == std::string::npos)
      all += example.bytes.substr(0, example.bytes.size() - 1);
  all += "t.";
  ASSERT_NO_THROW(Pickle::parse(all, known, "FILE"));
  for (std::size_t length = 0; length < all.size(); ++length)
    expect_error(ExitCode::checkpoint, [&] { Pickle::parse(all.substr(0, length), known, "FILE"); });
  for (std::size_t at = 0; at < all.size(); ++at)
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = all;
      flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit));
      try {
        Pickle::parse(flipped, known, "FILE");
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::checkpoint);
      }
    }
}

}  // namespace
}  // namespace ganymede
