#include "datasets/archive_file.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

#include <algorithm>

#include "core/error.h"

namespace ganymede {
namespace {

/// libarchive spells names in the thread's locale and gives up where that is plain C: for the time of a call
/// it is UTF-8.
class Utf8Names {
 public:
  Utf8Names() {
    static const locale_t utf8 = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    if (utf8 != nullptr) before_ = ::uselocale(utf8);
  }
  ~Utf8Names() {
    if (before_ != nullptr) ::uselocale(before_);
  }
  Utf8Names(const Utf8Names&) = delete;
  Utf8Names& operator=(const Utf8Names&) = delete;

 private:
  locale_t before_ = nullptr;
};

}  // namespace

void ArchiveFile::Free::operator()(archive* handle) const {
  archive_read_free(handle);
}

ArchiveFile::ArchiveFile(std::filesystem::path path) : path_(std::move(path)), handle_(archive_read_new()) {
  if (!handle_) throw std::bad_alloc();
  archive_read_support_format_zip(handle_.get());
  archive_read_support_format_tar(handle_.get());
  archive_read_support_filter_all(handle_.get());
  constexpr std::size_t block = 256 << 10;
  if (archive_read_open_filename(handle_.get(), path_.c_str(), block) != ARCHIVE_OK) fail_to_read();
}

std::optional<ArchiveFile::Member> ArchiveFile::next() {
  const Utf8Names utf8;
  archive_entry* entry = nullptr;
  const int status = archive_read_next_header(handle_.get(), &entry);
  if (status == ARCHIVE_EOF) return std::nullopt;
  // A warning here is about names that the locale cannot spell: they are taken as they are.
  if (status != ARCHIVE_OK && status != ARCHIVE_WARN) fail_to_read();
  const char* name = archive_entry_pathname_utf8(entry);
  if (name == nullptr) name = archive_entry_pathname(entry);
  if (name == nullptr)
    fail(ExitCode::dataset, "{} has a member without a readable name after {}", path_.string(),
         member_.empty() ? "its start" : member_);
  member_ = name;
  Kind kind = Kind::other;
  if (archive_entry_hardlink(entry) != nullptr)
    kind = Kind::hard_link;
  else if (archive_entry_filetype(entry) == AE_IFREG)
    kind = Kind::file;
  std::optional<std::int64_t> size;
  if (archive_entry_size_is_set(entry) != 0) size = archive_entry_size(entry);
  return Member{member_, kind, size};
}

std::size_t ArchiveFile::read(std::span<std::byte> bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const la_ssize_t count = archive_read_data(handle_.get(), bytes.data() + done, bytes.size() - done);
    if (count < 0) fail_to_read();
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

std::vector<std::byte> ArchiveFile::read_all(std::size_t limit) {
  std::vector<std::byte> bytes;
  std::size_t size = 0;
  while (true) {
    // Grown by what has come: a size written in a damaged header is not believed.
    bytes.resize(std::max<std::size_t>(16 << 10, size * 2));
    size += read(std::span(bytes).subspan(size));
    if (size > limit)
      fail(ExitCode::dataset, "{}: member {} holds more than {} bytes", path_.string(), member_, limit);
    if (size < bytes.size()) break;
  }
  bytes.resize(size);
  return bytes;
}

void ArchiveFile::fail_to_read() const {
  const char* reason = archive_error_string(handle_.get());
  const std::string cause = reason == nullptr ? "unknown cause" : reason;
  if (member_.empty())
    fail(ExitCode::dataset,
         "{} cannot be read as an archive ({}): give a folder, a whole zip, tar, tar.gz or .npz",
         path_.string(), cause);
  fail(ExitCode::dataset, "{} is damaged at or after {} ({}): copy or make it again", path_.string(), member_,
       cause);
}

}  // namespace ganymede
