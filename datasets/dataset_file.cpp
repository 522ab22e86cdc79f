#include "datasets/dataset_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "core/error.h"
#include "core/hash.h"

namespace ganymede {
namespace {

constexpr const char* remedy = "restore the file from a copy or pack it anew";

File open_dataset(const std::string& path) {
  try {
    return File::open_for_reading(path);
  } catch (const Error& error) {
    throw Error(ExitCode::dataset, error.what());
  }
}

}  // namespace

DatasetFile::DatasetFile(FileLayout layout, std::int64_t image_bytes)
    : layout_(std::move(layout)), image_bytes_(image_bytes), file_(open_dataset(layout_.path)) {
  check_unchanged();
  read_digests();
  read_labels();
}

void DatasetFile::check_unchanged() const {
  struct stat status {};
  ::fstat(file_.descriptor(), &status);
  const std::int64_t modified = status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec;
  const bool replaced =
      layout_.image_digests < 0 &&
      (modified != layout_.modified || static_cast<std::int64_t>(status.st_ino) != layout_.inode);
  if (status.st_size != layout_.size || replaced)
    fail(ExitCode::dataset,
         "{}: not the file that the first rank inspected ({} bytes; expected {}, unmodified): do all nodes "
         "see the same "
         "file, and is it being written?",
         layout_.path, status.st_size, layout_.size);
}

void DatasetFile::read_digests() {
  if (layout_.image_digests < 0) return;
  const auto blocks = static_cast<std::size_t>(layout_.images.blocks());
  digests_.resize(blocks);
  file_.read_at(layout_.image_digests, std::as_writable_bytes(std::span(digests_)));
  verified_ = std::make_unique<std::atomic<bool>[]>(blocks);
}

void DatasetFile::read_labels() {
  labels_.assign(static_cast<std::size_t>(layout_.count), -1);
  if (layout_.labels.offset < 0) return;
  file_.read_at(layout_.labels.offset, std::as_writable_bytes(std::span(labels_)));
  if (layout_.label_digests < 0) return;
  std::vector<std::uint64_t> expected(static_cast<std::size_t>(layout_.labels.blocks()));
  file_.read_at(layout_.label_digests, std::as_writable_bytes(std::span(expected)));
  const std::vector<std::uint64_t> found = block_digests(file_, layout_.labels, 1);
  const auto wrong = std::mismatch(found.begin(), found.end(), expected.begin());
  if (wrong.first != found.end())
    fail(ExitCode::dataset, "{}: /labels: block {} has digest {}; expected {}: damaged after writing; {}",
         layout_.path, wrong.first - found.begin(), hex(*wrong.first), hex(*wrong.second), remedy);
}

std::uint64_t DatasetFile::fingerprint() const {
  Xxh3 hash;
  hash.update(std::as_bytes(std::span(labels_)));
  hash.update(std::as_bytes(std::span(digests_)));
  if (digests_.empty()) {
    std::vector<std::byte> image(static_cast<std::size_t>(image_bytes_));
    for (std::int64_t sample = 0; sample < 16; ++sample) {
      read(sample * (layout_.count - 1) / 15, image);
      hash.update(image);
    }
  }
  return hash.digest();
}

void DatasetFile::read(std::int64_t index, std::span<std::byte> image) const {
  file_.read_at(layout_.images.offset + index * image_bytes_, image);
}

void DatasetFile::advise(std::int64_t first, std::int64_t count) const {
  // Of a larger piece the kernel may read a part only.
  constexpr std::int64_t piece = 512 << 10;
  const std::int64_t begin = layout_.images.offset + first * image_bytes_, end = begin + count * image_bytes_;
  for (std::int64_t at = begin; at < end; at += piece)
    ::posix_fadvise(file_.descriptor(), at, std::min(piece, end - at), POSIX_FADV_WILLNEED);
}

std::vector<std::byte> DatasetFile::verify_block(std::int64_t block) const {
  std::vector<std::byte> bytes = read_block(file_, layout_.images, block);
  if (!has_digests()) return bytes;
  const std::uint64_t found = Xxh3::of(bytes), expected = digests_[static_cast<std::size_t>(block)];
  if (found != expected) {
    const std::int64_t first = block * layout_.images.block_bytes;
    fail(ExitCode::dataset,
         "{}: /images: block {} (images {} to {}) has digest {}; expected {}: damaged after writing; {}",
         layout_.path, block, first / image_bytes_,
         (first + layout_.images.size_of(block) - 1) / image_bytes_, hex(found), hex(expected), remedy);
  }
  return bytes;
}

void DatasetFile::verify_blocks_of(std::int64_t index) const {
  if (!has_digests()) return;
  const std::int64_t first = index * image_bytes_ / layout_.images.block_bytes;
  const std::int64_t last = ((index + 1) * image_bytes_ - 1) / layout_.images.block_bytes;
  for (std::int64_t block = first; block <= last; ++block) {
    std::atomic<bool>& verified = verified_[static_cast<std::size_t>(block)];
    if (verified.load(std::memory_order_relaxed)) continue;
    verify_block(block);
    verified.store(true, std::memory_order_relaxed);
  }
}

}  // namespace ganymede
