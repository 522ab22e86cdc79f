#include "datasets/verify_dataset.h"

#include <algorithm>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "core/error.h"
#include "datasets/image_dataset.h"
#include "datasets/pixel_values.h"

namespace ganymede {
namespace {

void check_values(const ImageDataset& dataset, const DatasetFile& file, std::int64_t block,
                  std::span<const std::byte> bytes) {
  const PixelValues values(dataset.type(), dataset.low(), dataset.high());
  const std::int64_t bad = values.first_bad(bytes);
  if (bad < 0) return;
  const std::int64_t byte = block * file.layout().images.block_bytes + bad * size_of(dataset.type());
  fail(ExitCode::dataset, "{}: {}: image {} holds {}; expected numbers in [{}, {}]", file.layout().path,
       file.layout().name, byte / dataset.image_bytes(), values.value(bytes, bad), dataset.low(),
       dataset.high());
}

struct Block {
  const ImageDataset& set;
  const DatasetFile& file;
  std::int64_t block;
};

/// Damaged blocks in the order of the dataset, of which the first few are told.
class Findings {
 public:
  void add(std::int64_t place, const std::string& what) { found_.emplace(place, what); }
  void report() const {
    if (found_.empty()) return;
    std::string text = found_.begin()->second;
    if (found_.size() > 1) text += fmt::format(" ({} damaged blocks in all; next:", found_.size());
    int left = 3;
    for (auto it = std::next(found_.begin()); it != found_.end() && left-- > 0; ++it)
      text += " " + it->second + ";";
    if (found_.size() > 1) text.back() = ')';
    throw Error(ExitCode::dataset, text);
  }

 private:
  std::map<std::int64_t, std::string> found_;
};

}  // namespace

VerifiedDataset verify_dataset(const std::vector<std::filesystem::path>& files, int threads,
                               const std::function<void(std::int64_t, std::int64_t)>& progress) {
  const ImageDataset dataset = ImageDataset::attach(ImageDataset::inspect(files));
  std::list<ImageDataset> levels;
  std::vector<const ImageDataset*> sets{&dataset};
  for (const std::int64_t side : dataset.levels())
    sets.push_back(&levels.emplace_back(ImageDataset::attach(ImageDataset::inspect(files, side))));
  for (const ImageDataset* companion : {dataset.sources(), dataset.embeddings(), dataset.tokens()})
    if (companion) sets.push_back(companion);
  std::vector<Block> blocks;
  std::int64_t total = 0, done = 0;
  for (const ImageDataset* set : sets) {
    for (const DatasetFile& file : set->files())
      for (std::int64_t block = 0; block < file.layout().images.blocks(); ++block)
        blocks.push_back({*set, file, block});
    total += set->size() * set->image_bytes();
  }
  Findings findings;
  std::mutex mutex;
  parallel_for_each(static_cast<std::int64_t>(blocks.size()), threads, [&](std::int64_t i) {
    const Block& each = blocks[static_cast<std::size_t>(i)];
    std::string finding;
    try {
      check_values(each.set, each.file, each.block, each.file.verify_block(each.block));
    } catch (const Error& error) {
      if (error.code() != ExitCode::dataset) throw;
      finding = error.what();
    }
    const std::lock_guard lock(mutex);
    if (!finding.empty()) findings.add(i, finding);
    done += each.file.layout().images.size_of(each.block);
    if (progress) progress(done, total);
  });
  findings.report();
  return {dataset.size(), total, static_cast<std::int64_t>(blocks.size()),
          std::ranges::all_of(sets, &ImageDataset::has_digests)};
}

}  // namespace ganymede
