#include "core/stored_zip.h"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "core/strict_json.h"

namespace ganymede {
namespace {

static_assert(std::endian::native == std::endian::little, "a zip's numbers are copied as they lie in it");

// Sizes of the fixed parts, section 4.3 of the APPNOTE.
constexpr std::int64_t end_bytes = 22, longest_comment = 65535;
constexpr std::int64_t locator_bytes = 20, end64_bytes = 56;
constexpr std::int64_t entry_bytes = 46, local_bytes = 30;
constexpr std::uint32_t end_mark = 0x06054b50, locator_mark = 0x07064b50, end64_mark = 0x06064b50;
constexpr std::uint32_t entry_mark = 0x02014b50, local_mark = 0x04034b50;
constexpr std::uint16_t encrypted = 1, zip64_extra = 1;

template <class Number>
Number number_at(std::string_view bytes, std::int64_t offset) {
  Number value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

std::string read(const File& file, std::int64_t begin, std::int64_t size) {
  std::string bytes(static_cast<std::size_t>(size), '\0');
  file.read_at(begin, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

/// Whether `size` bytes from `begin` lie within the first `end`.
bool fits(std::uint64_t begin, std::uint64_t size, std::int64_t end) {
  return begin <= static_cast<std::uint64_t>(end) && size <= static_cast<std::uint64_t>(end) - begin;
}

}  // namespace

/// Fills a StoredZip from the end of its file.
class StoredZip::Directory {
 public:
  Directory(StoredZip& zip, const File& file) : zip_(zip), file_(file) {}

  void read_all() {
    find();
    const std::string bytes = read(file_, begin_, size_);
    std::string_view rest = bytes;
    for (std::uint64_t i = 0; i < count_; ++i) rest.remove_prefix(read_entry(rest));
    if (!rest.empty()) fail_for("bytes left over in its directory");
    zip_.end_ = begin_;
  }

 private:
  [[noreturn]] void fail_for(const std::string& what) const {
    fail(ExitCode::checkpoint, "{} is a damaged zip: {}", file_.path().string(), what);
  }

  void find() {
    const std::int64_t size = file_.size();
    const std::int64_t tail = std::min(size, end_bytes + longest_comment);
    const std::string bytes = read(file_, size - tail, tail);
    std::int64_t at = tail - end_bytes;
    const auto is_end = [&] {
      return number_at<std::uint32_t>(bytes, at) == end_mark &&
             at + end_bytes + number_at<std::uint16_t>(bytes, at + 20) == tail;
    };
    while (at >= 0 && !is_end()) --at;
    if (at < 0) fail_for("its directory is missing: was it cut short?");
    const std::int64_t locator = at - locator_bytes;
    if (locator >= 0 && number_at<std::uint32_t>(bytes, locator) == locator_mark)
      place64(number_at<std::uint64_t>(bytes, locator + 8), size - tail + locator);
    else
      place(number_at<std::uint16_t>(bytes, at + 10), number_at<std::uint32_t>(bytes, at + 12),
            number_at<std::uint32_t>(bytes, at + 16), size - tail + at);
  }

  void place64(std::uint64_t offset, std::int64_t end) {
    if (!fits(offset, end64_bytes, end)) fail_for("its Zip64 record lies outside the file");
    const auto begin = static_cast<std::int64_t>(offset);
    const std::string record = read(file_, begin, end64_bytes);
    if (number_at<std::uint32_t>(record, 0) != end64_mark) fail_for("its Zip64 record is missing");
    place(number_at<std::uint64_t>(record, 32), number_at<std::uint64_t>(record, 40),
          number_at<std::uint64_t>(record, 48), begin);
  }

  void place(std::uint64_t count, std::uint64_t size, std::uint64_t begin, std::int64_t end) {
    if (!fits(begin, size, end)) fail_for("its directory lies outside the file");
    count_ = count;
    begin_ = static_cast<std::int64_t>(begin);
    size_ = static_cast<std::int64_t>(size);
  }

  /// Returns how many of `bytes` the entry takes.
  std::size_t read_entry(std::string_view bytes) {
    if (std::ssize(bytes) < entry_bytes || number_at<std::uint32_t>(bytes, 0) != entry_mark)
      fail_for("an entry of its directory is missing");
    const auto name_bytes = number_at<std::uint16_t>(bytes, 28),
               extra_bytes = number_at<std::uint16_t>(bytes, 30);
    const std::size_t total = static_cast<std::size_t>(entry_bytes) + name_bytes + extra_bytes +
                              number_at<std::uint16_t>(bytes, 32);
    if (bytes.size() < total) fail_for("its directory ends within an entry");
    const std::string name(bytes.substr(entry_bytes, name_bytes));
    std::uint64_t size = number_at<std::uint32_t>(bytes, 24), packed = number_at<std::uint32_t>(bytes, 20),
                  header = number_at<std::uint32_t>(bytes, 42);
    read_extra(bytes.substr(entry_bytes + name_bytes, extra_bytes), {&size, &packed, &header});
    if (!fits(header, packed, begin_) || size > std::numeric_limits<std::int64_t>::max())
      fail_for(fmt::format("its entry {} lies outside the file", quote(name)));
    const bool is_stored = number_at<std::uint16_t>(bytes, 10) == 0 && size == packed &&
                           (number_at<std::uint16_t>(bytes, 8) & encrypted) == 0;
    const Entry entry{static_cast<std::int64_t>(header), static_cast<std::int64_t>(size),
                      number_at<std::uint32_t>(bytes, 16), is_stored};
    if (!zip_.entries_.emplace(name, entry).second)
      fail_for(fmt::format("its entry {} is there twice", quote(name)));
    return total;
  }

  /// The Zip64 field has those of `fields`, in this order, that did not fit 32 bits.
  void read_extra(std::string_view extra, std::initializer_list<std::uint64_t*> fields) const {
    while (extra.size() >= 4) {
      const auto id = number_at<std::uint16_t>(extra, 0), size = number_at<std::uint16_t>(extra, 2);
      extra.remove_prefix(4);
      if (size > extra.size()) fail_for("an extra field of its directory is cut short");
      std::string_view values = extra.substr(0, size);
      for (std::uint64_t* field : fields) {
        if (id != zip64_extra || *field != std::numeric_limits<std::uint32_t>::max()) continue;
        if (values.size() < sizeof *field) fail_for("a Zip64 field of its directory is cut short");
        *field = number_at<std::uint64_t>(values, 0);
        values.remove_prefix(sizeof *field);
      }
      extra.remove_prefix(size);
    }
  }

  StoredZip& zip_;
  const File& file_;
  std::uint64_t count_ = 0;
  std::int64_t begin_ = 0;  ///< of the directory
  std::int64_t size_ = 0;
};

StoredZip StoredZip::open(const File& file) {
  StoredZip zip;
  Directory(zip, file).read_all();
  return zip;
}

std::int64_t StoredZip::begin(const File& file, const std::string& name) const {
  const std::string where = fmt::format("{}, entry {}", file.path().string(), quote(name));
  const auto found = entries_.find(name);
  if (found == entries_.end()) fail(ExitCode::checkpoint, "{} is missing", where);
  const Entry& entry = found->second;
  if (!entry.is_stored)
    fail(ExitCode::checkpoint,
         "{} is compressed or encrypted, which torch.save never does: unpack the file "
         "and save its weights again",
         where);
  const auto name_bytes = std::ssize(name);
  if (!fits(static_cast<std::uint64_t>(entry.header), static_cast<std::uint64_t>(local_bytes + name_bytes),
            end_))
    fail(ExitCode::checkpoint, "{} lies outside the file", where);
  const std::string local = read(file, entry.header, local_bytes + name_bytes);
  const std::int64_t begin = entry.header + local_bytes + name_bytes + number_at<std::uint16_t>(local, 28);
  if (number_at<std::uint32_t>(local, 0) != local_mark || number_at<std::uint16_t>(local, 26) != name_bytes ||
      std::string_view(local).substr(local_bytes) != name)
    fail(ExitCode::checkpoint, "{} is not where the zip's directory says", where);
  if (!fits(static_cast<std::uint64_t>(begin), static_cast<std::uint64_t>(entry.size), end_))
    fail(ExitCode::checkpoint, "{} needs {} bytes at offset {}, {} are left", where, entry.size, begin,
         end_ - begin);
  return begin;
}

std::uint32_t crc32_of(std::span<const std::byte> bytes, std::uint32_t before) {
  return static_cast<std::uint32_t>(
      ::crc32_z(before, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace ganymede
