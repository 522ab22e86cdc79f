// What the program sees in images:
//
//     features_tool extract IMAGES.safetensors OUT.safetensors [file=F] [resize=R] [bf16=1] [spatial=1] [logits=1]
//     features_tool resize IMAGES.safetensors OUT.safetensors SIZE MODE
//     features_tool lpips PAIRS.safetensors OUT.safetensors TRUNK HEADS
//     features_tool time FILE SIZE COUNT THREADS [bf16]
//
// IMAGES holds "images", uint8 [N, C, H, W]. `extract` writes pool, spatial and logits, as far as asked for,
// and the extractor's description as metadata. `resize` writes "images", float32, on the pixels' own scale.
// `lpips` writes the "distances" of PAIRS' "a" and "b", float32 in [-1, 1]. `time` extracts from COUNT made-up
// images for each line that it reads, and prints how many seconds that took.

#include <ATen/Parallel.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <span>

#include "core/error.h"
#include "core/philox.h"
#include "core/safetensors.h"
#include "models/features/feature_resize.h"
#include "models/features/lpips.h"

namespace ganymede {
namespace {

using Words = std::span<char*>;

void extract(Words words) {
  const at::Tensor images = SafetensorsFile::open(words[0]).read("images");
  ExtractorOptions options;
  FeatureRequest request;
  for (const std::string word : words.subspan(2)) {
    const std::size_t equals = word.find('=');
    const std::string key = word.substr(0, equals), value = word.substr(equals + 1);
    if (key == "file") options.file = value;
    if (key == "resize") options.resize = value;
    if (key == "bf16") options.bf16 = true;
    if (key == "spatial") request.spatial = true;
    if (key == "logits") request.logits = true;
  }
  const auto extractor = make_feature_extractor(options);
  const ExtractorDescription& d = extractor->description();
  const Features features = extractor->extract(images, request);
  NamedTensors record{{"pool", features.pool}};
  if (request.spatial) record.emplace_back("spatial", features.spatial);
  if (request.logits) record.emplace_back("logits", features.logits);
  write_safetensors(words[1], record,
                    {{"name", d.name},
                     {"origin", d.origin},
                     {"digest", d.digest},
                     {"resize", d.resize},
                     {"precision", d.precision},
                     {"caveat", d.caveat},
                     {"dimensions", fmt::format("{}", d.dimensions)}});
}

void resize(Words words) {
  const at::Tensor images = SafetensorsFile::open(words[0]).read("images");
  const FeatureResizer resizer(feature_resize(words[3]), std::stoll(words[2]), {{1, 1, 1}, {0, 0, 0}});
  write_safetensors(words[1], {{"images", resizer(images, at::kCPU).contiguous()}});
}

void lpips(Words words) {
  const SafetensorsFile pairs = SafetensorsFile::open(words[0]);
  const Lpips network = Lpips::load(words[2], words[3], {});
  write_safetensors(words[1], {{"distances", network.distance(pairs.read("a"), pairs.read("b"))}},
                    {{"digest", network.digest()}});
}

void time(Words words) {
  at::set_num_threads(std::stoi(words[3]));
  const std::int64_t size = std::stoll(words[1]), count = std::stoll(words[2]);
  const at::Tensor images = (RandomStream({}).uniform(0, count, 3 * size * size, at::kFloat) * 255)
                                .to(at::kByte)
                                .view({count, 3, size, size});
  const auto extractor = make_feature_extractor({.file = words[0], .bf16 = words.size() > 4});
  extractor->extract(images.narrow(0, 0, std::min<std::int64_t>(8, count)), {});
  for (std::string line; std::getline(std::cin, line);) {
    const auto begin = std::chrono::steady_clock::now();
    extractor->extract(images, {});
    fmt::print("{}\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    std::fflush(stdout);
  }
}

void run(Words words) {
  if (words.size() < 2) fail(ExitCode::options, "usage: features_tool extract|resize|lpips|time ...");
  const std::string verb = words[0];
  const Words rest = words.subspan(1);
  if (verb == "extract") return extract(rest);
  if (verb == "resize") return resize(rest);
  if (verb == "lpips") return lpips(rest);
  if (verb == "time") return time(rest);
  fail(ExitCode::options, "'{}' is not known", verb);
}

}  // namespace
}  // namespace ganymede

int main(int argc, char** argv) {
  try {
    ganymede::run(std::span(argv + 1, static_cast<std::size_t>(argc - 1)));
    return 0;
  } catch (const ganymede::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.code());
  }
}
