#include "datasets/npy.h"

#include <gtest/gtest.h>

#include <cstring>

#include "core/error.h"

namespace ganymede {
namespace {

NpyHeader parse(const std::string& dictionary, char version = 1) {
  std::string file = "\x93NUMPY";
  file += version;
  file += '\0';
  file += static_cast<char>(dictionary.size());
  file += static_cast<char>(dictionary.size() >> 8);
  if (version > 1) file += std::string(2, '\0');
  file += dictionary;
  std::size_t position = 0;
  return read_npy_header(
      [&](std::span<std::byte> bytes) {
        const std::size_t count = std::min(bytes.size(), file.size() - position);
        std::memcpy(bytes.data(), file.data() + position, count);
        position += count;
        return count;
      },
      "test.npy");
}

std::string failure_of(const std::string& dictionary) {
  try {
    parse(dictionary);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::dataset);
    return error.what();
  }
  return "no error";
}

TEST(Npy, ReadsHeadersOfEveryVersion) {
  for (const char version : {1, 2, 3}) {
    const NpyHeader header =
        parse("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4, 5), }   \n", version);
    EXPECT_EQ(header.kind, 'f');
    EXPECT_EQ(header.shape, (std::vector<std::int64_t>{3, 4, 5}));
    EXPECT_EQ(header.bytes(), 240);
  }
  EXPECT_EQ(parse("{\"shape\":(7,),\"descr\":\"|u1\",\"fortran_order\":False}").bytes(), 7);
  EXPECT_EQ(parse("{'descr': '<U5', 'fortran_order': False, 'shape': ()}").bytes(), 20);
}

TEST(Npy, SaysWhatIsWrong) {
  const auto has = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  EXPECT_TRUE(has(failure_of("{'descr': '>f4', 'fortran_order': False, 'shape': (3,)}"), "big-endian"));
  EXPECT_TRUE(has(failure_of("{'descr': '<f4', 'fortran_order': True, 'shape': (3,)}"), "Fortran"));
  EXPECT_TRUE(has(failure_of("{'descr': '|O8', 'fortran_order': False, 'shape': (3,)}"), "objects"));
  EXPECT_TRUE(has(failure_of("{'descr': '|O', 'fortran_order': False, 'shape': (3,)}"), "objects"));
  EXPECT_TRUE(has(failure_of("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}"), "records"));
  EXPECT_TRUE(has(failure_of("{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 4)}"),
                  "more bytes than can be"));
  for (const char* text :
       {"", "{", "{}", "{'descr': '<f4'}", "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)} x",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'other': 1}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': '<U0', 'fortran_order': False, 'shape': (4611686018427387904, 4)}"})
    EXPECT_TRUE(has(failure_of(text), "damaged")) << text << ": " << failure_of(text);
}

TEST(Npy, RefusesWhatDoesNotFitALabel) {
  const std::uint64_t large = ~std::uint64_t{0};
  const NpyHeader header{.kind = 'u', .item_bytes = 8, .shape = {1}};
  EXPECT_THROW(npy_integers(header, std::as_bytes(std::span(&large, 1)), "labels"), Error);
  const std::int8_t minus[] = {-1, 7};
  EXPECT_EQ(
      npy_integers({.kind = 'i', .item_bytes = 1, .shape = {2}}, std::as_bytes(std::span(minus)), "labels"),
      (std::vector<std::int64_t>{-1, 7}));
}

TEST(Npy, ReadsTextAsUtf8) {
  const char32_t text[] = {U'ä', U'漢', U'😀', 0, U'b', 0, 0, 0};
  EXPECT_EQ(
      npy_strings({.kind = 'U', .item_bytes = 16, .shape = {2}}, std::as_bytes(std::span(text)), "names"),
      (std::vector<std::string>{"ä漢😀", "b"}));
  const char32_t surrogate[] = {0xD800};
  EXPECT_THROW(
      npy_strings({.kind = 'U', .item_bytes = 4, .shape = {1}}, std::as_bytes(std::span(surrogate)), "names"),
      Error);
}

}  // namespace
}  // namespace ganymede
