// fuzz --target=NAME [libFuzzer's arguments]: gives bytes of libFuzzer's making to one of the readers. What a reader refuses is
// no finding; any other exception, a sanitizer's report, a hang or a greed for memory is.

#include <fmt/format.h>

#include <sys/resource.h>

#include <cstdlib>
#include <functional>
#include <string_view>

#include "core/error.h"
#include "core/hash.h"
#include "core/manifest.h"
#include "tests/fuzz/branch_counts.h"
#include "tests/fuzz/readers.h"
#include "tests/fuzz/sanitizer_reports.h"
#include "tests/fuzz/scratch.h"

extern "C" void __sanitizer_cov_8bit_counters_init(std::uint8_t* begin, std::uint8_t* end);

namespace ganymede {
namespace {

using Bytes = std::span<const std::byte>;

struct Target {
  std::string_view name;
  std::function<void(Bytes)> read;
};

std::function<void(Bytes)> of_file(std::uint64_t (*reader)(const std::filesystem::path&)) {
  return [=](Bytes bytes) {
    static const ScratchFolder folder;
    const std::filesystem::path path = folder.path() / "file";
    put_file(path, bytes);
    reader(path);
  };
}

/// The manifest's content, a NUL, and the one shard. The manifest gets a right digest: no fuzzer would find it.
void read_checkpoint(Bytes bytes) {
  static const ScratchFolder folder;
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::size_t end = std::min(text.find('\0'), text.size());
  const std::string content = "{\n\"content\": " + std::string(text.substr(0, end));
  const std::string manifest = content + fmt::format(",\n\"xxh3\": \"{}\"\n}}\n", hex(Xxh3::of(content)));
  put_file(folder.path() / Manifest::file_name, std::as_bytes(std::span(manifest)));
  put_file(folder.path() / shard_name(0, 1), bytes.subspan(std::min(end + 1, text.size())));
  read_checkpoint_folder(folder.path());
}

// libFuzzer's own limit is watched by a thread, and a process of several threads must not fork with ASan's allocator: the
// child may wait for ever for a lock that another thread held.
constexpr long most_resident_kib = 2 << 20;

long peak_resident_kib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

const Target targets[] = {
    {"archive", of_file(read_archive_file)},   {"checkpoint", read_checkpoint},
    {"dataset", of_file(read_dataset_file)},   {"npz", of_file(read_npz_file)},
    {"options", of_file(read_recipe_file)},    {"picture", of_file(read_picture_file)},
    {"safetensors", of_file(read_safetensors_file)}, {"weights", of_file(read_weights_file)},
};

const Target* target = nullptr;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* count, char*** words) {
  constexpr std::string_view flag = "--target=";
  for (int i = 1; i < *count; ++i)
    for (const Target& each : targets)
      if ((*words)[i] == std::string(flag) + std::string(each.name)) target = &each;
  if (target == nullptr) {
    fmt::print(stderr, "fuzz: --target= one of:");
    for (const Target& each : targets) fmt::print(stderr, " {}", each.name);
    fmt::print(stderr, "\n");
    std::exit(2);
  }
  watch_children();
  const std::span<std::uint8_t> counts = shared_branch_counts();
  __sanitizer_cov_8bit_counters_init(counts.data(), counts.data() + counts.size());
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    target->read(std::as_bytes(std::span(data, size)));
  } catch (const Error&) {
  }
  if (peak_resident_kib() > most_resident_kib) {
    fmt::print(stderr, "fuzz: {} KiB resident: more than {}\n", peak_resident_kib(), most_resident_kib);
    std::abort();
  }
  if (children_were_reported()) {
    fmt::print(stderr, "fuzz: a child that inspected the file was reported: ASAN_OPTIONS=log_path=FILE keeps what was said\n");
    std::abort();
  }
  return 0;
}

}  // namespace ganymede
