#include "datasets/dataset_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "core/error.h"
#include "core/hash.h"
#include "datasets/picture.h"

namespace ganymede {
namespace {

constexpr const char* remedy = "restore the file from a copy or pack it anew";

/// Up to here a call of the kernel costs as much as the copy.
constexpr std::int64_t small_image = 16 << 10;

File open_dataset(const std::string& path) {
  try {
    return File::open_for_reading(path);
  } catch (const Error& error) {
    throw Error(ExitCode::dataset, error.what());
  }
}

/// Images [H, W, C] become [C, H, W], in place.
void to_planes(std::span<std::byte> images, ElementType type, std::int64_t channels,
               std::int64_t image_bytes) {
  thread_local std::vector<std::byte> stored;
  const auto size = static_cast<std::size_t>(image_bytes);
  for (std::size_t at = 0; at < images.size(); at += size) {
    const std::span<std::byte> image = images.subspan(at, size);
    stored.assign(image.begin(), image.end());
    to_planes(type, channels, stored, image);
  }
}

}  // namespace

DatasetFile::DatasetFile(const DatasetLayout& dataset, std::size_t number, std::shared_ptr<BlockCache> cache)
    : layout_(dataset.files[number]),
      number_(static_cast<std::int64_t>(number)),
      type_(dataset.type),
      channels_(dataset.channels),
      image_bytes_(dataset.image_bytes()),
      coded_(!layout_.image_chunks.empty() && !layout_.image_chunks.is_plain()),
      cache_(std::move(cache)),
      file_(open_dataset(layout_.path)) {
  check_unchanged();
  read_digests();
  read_labels();
  if (!coded_ && image_bytes_ <= small_image) mapped_ = MappedFile::of(file_, layout_.size);
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
  if (!layout_.label_chunks.empty()) {
    const ChunkedArray array(file_, "/labels", layout_.label_chunks);
    const std::span<std::byte> bytes = std::as_writable_bytes(std::span(labels_));
    for (std::int64_t row = 0; row < layout_.label_chunks.rows(); ++row) {
      const Share items = layout_.label_chunks.items_of(row);
      array.read_row(row, bytes.subspan(static_cast<std::size_t>(items.first) * sizeof(std::int64_t),
                                        static_cast<std::size_t>(items.count) * sizeof(std::int64_t)));
    }
  }
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
  for (std::int64_t sample = 0; digests_.empty() && sample < 16; ++sample) {
    const std::int64_t index = sample * (layout_.count - 1) / 15;
    if (layout_.image_chunks.empty()) {
      std::vector<std::byte> image(static_cast<std::size_t>(image_bytes_));
      read(index, image);
      hash.update(image);
    } else {
      const ChunkedArray images = chunked_images();
      hash.update(images.stored(images.chunk_of(index), 64 << 10));
    }
  }
  return hash.digest();
}

void DatasetFile::read(std::int64_t index, std::span<std::byte> image) const {
  if (coded_) {
    const std::int64_t together = decoded_together();
    const BlockCache::Block row = row_of(index / together);
    std::copy_n(row.get() + index % together * image_bytes_, image_bytes_, image.begin());
    return;
  }
  const std::int64_t offset = offset_of(index);
  if (!mapped_ || !mapped_->copy(offset, image)) file_.read_at(offset, image);
  if (layout_.channels_last) to_planes(image, type_, channels_, image_bytes_);
}

void DatasetFile::prefetch(std::int64_t index) const {
  if (mapped_) mapped_->prefetch(offset_of(index), image_bytes_);
}

/// Of an image that is not coded.
std::int64_t DatasetFile::offset_of(std::int64_t index) const {
  if (layout_.image_chunks.empty()) return layout_.images.offset + index * image_bytes_;
  return chunked_images().place_of(index);
}

BlockCache::Block DatasetFile::row_of(std::int64_t row) const {
  return cache_->get({number_, row}, layout_.images.size_of(row),
                     [&](std::span<std::byte> images) { read_row(row, images); });
}

void DatasetFile::read_row(std::int64_t row, std::span<std::byte> images) const {
  chunked_images().read_row(row, images);
  if (layout_.channels_last) to_planes(images, type_, channels_, image_bytes_);
}

void DatasetFile::advise(std::int64_t first, std::int64_t count) const {
  const ChunkTable& chunks = layout_.image_chunks;
  if (chunks.empty()) return advise_bytes(layout_.images.offset + first * image_bytes_, count * image_bytes_);
  std::int64_t begin = 0, end = 0;  // chunks mostly follow each other: they are asked for together
  const auto add = [&](std::int64_t offset, std::int64_t bytes) {
    if (offset != end) {
      advise_bytes(begin, end - begin);
      begin = offset;
    }
    end = offset + bytes;
  };
  const std::int64_t per_row = chunks.chunks_per_row(), together = chunks.chunk[0];
  for (std::int64_t row = first / together; row * together < first + count; ++row) {
    if (coded_) {
      for (auto k = static_cast<std::size_t>(row * per_row);
           k < static_cast<std::size_t>((row + 1) * per_row); ++k)
        add(chunks.offsets[k], chunks.bytes[k]);
    } else {
      const std::int64_t from = std::max(first, row * together),
                         to = std::min(first + count, (row + 1) * together);
      add(chunked_images().place_of(from), (to - from) * image_bytes_);
    }
  }
  advise_bytes(begin, end - begin);
}

void DatasetFile::advise_bytes(std::int64_t begin, std::int64_t bytes) const {
  // Of a larger piece the kernel may read a part only.
  constexpr std::int64_t piece = 512 << 10;
  for (std::int64_t at = begin; at < begin + bytes; at += piece)
    ::posix_fadvise(file_.descriptor(), at, std::min(piece, begin + bytes - at), POSIX_FADV_WILLNEED);
}

std::vector<std::byte> DatasetFile::verify_block(std::int64_t block) const {
  std::vector<std::byte> bytes(static_cast<std::size_t>(layout_.images.size_of(block)));
  if (!layout_.image_chunks.empty()) {
    read_row(block, bytes);
    return bytes;
  }
  file_.read_at(layout_.images.first_byte(block), bytes);
  if (!has_digests()) {
    if (layout_.channels_last) to_planes(bytes, type_, channels_, image_bytes_);
    return bytes;
  }
  const std::uint64_t found = Xxh3::of(bytes), expected = digests_[static_cast<std::size_t>(block)];
  if (found != expected) {
    const std::int64_t first = block * layout_.images.block_bytes;
    fail(ExitCode::dataset,
         "{}: {}: block {} (images {} to {}) has digest {}; expected {}: damaged after writing; {}",
         layout_.path, layout_.name, block, first / image_bytes_,
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
