#include "datasets/hdf5_chunks.h"

#include <fmt/format.h>
#include <hdf5.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>

namespace ganymede {

std::vector<std::string> list_filters(std::int64_t properties) {
  std::vector<std::string> names;
  for (int i = 0; i < H5Pget_nfilters(properties); ++i) {
    unsigned flags = 0, configuration = 0;
    std::size_t values = 0;
    char name[64] = "";
    const H5Z_filter_t id = H5Pget_filter2(properties, static_cast<unsigned>(i), &flags, &values, nullptr,
                                           sizeof name, name, &configuration);
    names.push_back(id == H5Z_FILTER_DEFLATE      ? "gzip"
                    : id == H5Z_FILTER_SHUFFLE    ? "shuffle"
                    : id == H5Z_FILTER_FLETCHER32 ? "fletcher32"
                    : id == 32000                 ? "lzf"
                                  // The file's own name for it is a hint, no more.
                                  : fmt::format("{} (number {})", name, id));
  }
  return names;
}

#if H5_VERSION_GE(1, 14, 0)

namespace {

struct Visit {
  std::size_t axes;
  std::vector<Hdf5Chunk> chunks;
};

}  // namespace

std::vector<Hdf5Chunk> list_chunks(std::int64_t dataset, std::size_t axes) {
  Visit visit{axes, {}};
  H5Dchunk_iter(
      dataset, H5P_DEFAULT,
      [](const hsize_t* first, unsigned left_out, haddr_t address, hsize_t bytes, void* data) -> int {
        auto& found = *static_cast<Visit*>(data);
        found.chunks.push_back({{first, first + found.axes},
                                static_cast<std::int64_t>(address),
                                static_cast<std::int64_t>(bytes),
                                left_out});
        return H5_ITER_CONT;
      },
      &visit);
  return visit.chunks;
}

#else

namespace {

/// What H5Ddebug prints of a dataset: "  0x00000000  192  5056 [0, 0, 0, 0, 0]" for each chunk, with flags,
/// bytes, address and indices, of which the last counts bytes of a value.
std::string debug_text(hid_t dataset) {
  char* text = nullptr;
  std::size_t size = 0;
  FILE* memory = ::open_memstream(&text, &size);
  if (!memory) throw std::bad_alloc();
  FILE* const usual = stdout;
  stdout = memory;
  H5Ddebug(dataset);
  stdout = usual;
  std::fclose(memory);
  std::string result(text, size);
  std::free(text);
  return result;
}

}  // namespace

// Before 1.14 the library has no other way to list the chunks in one pass. A text that were understood
// wrongly would show when the caller compares chunks with what the library reads.
std::vector<Hdf5Chunk> list_chunks(std::int64_t dataset, std::size_t axes) {
  std::vector<Hdf5Chunk> chunks;
  std::istringstream lines(debug_text(dataset));
  for (std::string line; std::getline(lines, line);) {
    const char* at = line.c_str();
    char* end = nullptr;
    Hdf5Chunk chunk;
    const auto number = [&](int base) {
      const long long value = std::strtoll(at, &end, base);
      at = end;
      return static_cast<std::int64_t>(value);
    };
    if (line.find(" 0x") == std::string::npos || line.find('[') == std::string::npos) continue;
    chunk.left_out = number(16);
    chunk.bytes = number(10);
    chunk.offset = number(10);
    at = line.c_str() + line.find('[');
    while (chunk.first.size() < axes && (*at == '[' || *at == ',')) {
      ++at;
      chunk.first.push_back(number(10));
    }
    if (chunk.first.size() == axes) chunks.push_back(std::move(chunk));
  }
  return chunks;
}

#endif

}  // namespace ganymede
