#include "datasets/chunk_filters.h"

#include <libdeflate.h>
#include <lzf.h>

#include <memory>

#include "tests/datasets/fixture.h"

namespace ganymede {
namespace {

using Bytes = std::vector<std::byte>;
constexpr std::int64_t plain_bytes = 4000;

/// Bytes with much to gain, the same at every run.
Bytes smooth_bytes() {
  Bytes bytes(plain_bytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i / 37 % 19);
  return bytes;
}

Bytes gzip(const Bytes& bytes) {
  const std::unique_ptr<libdeflate_compressor, void (*)(libdeflate_compressor*)> compressor(
      libdeflate_alloc_compressor(6), libdeflate_free_compressor);
  Bytes out(2 * bytes.size());
  out.resize(libdeflate_zlib_compress(compressor.get(), bytes.data(), bytes.size(), out.data(), out.size()));
  return out;
}

Bytes lzf(const Bytes& bytes) {
  Bytes out(2 * bytes.size());
  out.resize(lzf_compress(bytes.data(), static_cast<unsigned>(bytes.size()), out.data(),
                          static_cast<unsigned>(out.size())));
  return out;
}

ChunkTable table_of(std::vector<std::string> filters, std::int64_t value_bytes = 1) {
  const std::int64_t values = plain_bytes / value_bytes;
  return {.shape = {values}, .chunk = {values}, .element_bytes = value_bytes, .filters = std::move(filters)};
}

/// What undo() says of the bytes, and what it makes of them.
std::pair<std::string, Bytes> undone(const ChunkTable& table, const Bytes& stored,
                                     std::int64_t left_out = 0) {
  Bytes plain(plain_bytes);
  ChunkFilters filters;
  std::string wrong = filters.undo(table, left_out, stored, plain);
  return {wrong, plain};
}

TEST(ChunkFilters, UndoesCompressors) {
  const Bytes plain = smooth_bytes();
  EXPECT_EQ(undone(table_of({"gzip"}), gzip(plain)), std::pair(std::string(), plain));
  EXPECT_EQ(undone(table_of({"lzf"}), lzf(plain)), std::pair(std::string(), plain));
  EXPECT_EQ(undone(table_of({"lzf", "gzip"}), plain, 0b11), std::pair(std::string(), plain));
  EXPECT_EQ(undone(table_of({"lzf", "gzip"}), lzf(plain), 0b10), std::pair(std::string(), plain));
}

TEST(ChunkFilters, TellsWrongSizes) {
  Bytes longer = smooth_bytes();
  longer.push_back(std::byte{0});
  Bytes shorter = smooth_bytes();
  shorter.pop_back();
  for (const Bytes& bytes : {longer, shorter, Bytes{}}) {
    EXPECT_NE(undone(table_of({}), bytes).first, "");
    EXPECT_NE(undone(table_of({"shuffle"}), bytes).first, "");
    EXPECT_NE(undone(table_of({"fletcher32"}), bytes).first, "");
    if (bytes.empty()) continue;
    EXPECT_NE(undone(table_of({"gzip"}), gzip(bytes)).first, "");
    EXPECT_NE(undone(table_of({"lzf"}), lzf(bytes)).first, "");
  }
}

// Bytes without sense, whole streams with bytes changed, and streams cut short: an answer each time, and
// under a sanitizer no access outside of the spans.
TEST(ChunkFilters, SurvivesAnyBytes) {
  const std::vector<std::vector<std::string>> pipelines = {
      {"gzip"},      {"lzf"}, {"shuffle", "gzip"}, {"shuffle", "lzf", "fletcher32"}, {"fletcher32", "lzf"},
      {"lzf", "lzf"}};
  const RandomStream random({.seed = 4, .phase = "test"});
  const Bytes good[] = {gzip(smooth_bytes()), lzf(smooth_bytes())};
  int told = 0;
  for (std::uint64_t trial = 0; trial < 3000; ++trial) {
    Bytes bytes = trial % 3 == 0 ? random_bytes(static_cast<std::int64_t>(random.bits(trial, 0) % 600), trial)
                                 : good[trial % 2];
    if (trial % 3 == 1 && !bytes.empty())
      for (std::uint32_t k = 1; k < 4; ++k)
        bytes[random.bits(trial, k) % bytes.size()] = static_cast<std::byte>(random.bits(trial, k + 4));
    if (trial % 3 == 2) bytes.resize(random.bits(trial, 1) % bytes.size());
    for (const auto& pipeline : pipelines)
      told +=
          undone(table_of(pipeline, 4), bytes, static_cast<std::int64_t>(trial / 500)).first.empty() ? 0 : 1;
  }
  EXPECT_GT(told, 10000);
}

}  // namespace
}  // namespace ganymede
