#include "evaluation/zip_writer.h"

#include <unistd.h>

#include <algorithm>
#include <limits>
#include <system_error>

#include "core/stored_zip.h"

namespace ganymede {
namespace {

constexpr std::uint32_t in_extra32 = 0xFFFFFFFF;  // "see the 64-bit extension"
constexpr std::uint16_t version = 45;             // the first that knows it
constexpr std::uint16_t earliest_day = 33;        // 1 January 1980: contents decide, not the clock

/// Little-endian.
class Bytes {
 public:
  template <class Integer>
  Bytes& put(Integer value) {
    for (std::size_t i = 0; i < sizeof value; ++i) text_ += static_cast<char>(value >> (8 * i) & 0xFF);
    return *this;
  }
  Bytes& put_text(std::string_view text) {
    text_ += text;
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace

ZipWriter::ZipWriter(std::filesystem::path path)
    : path_(std::move(path)),
      temporary_(path_.string() + ".tmp-" + std::to_string(getpid())),
      file_(File::create(temporary_)) {}

ZipWriter::~ZipWriter() {
  std::error_code ignored;
  if (!finished_) std::filesystem::remove(temporary_, ignored);
}

void ZipWriter::write(std::string_view bytes) {
  file_.write(bytes);
  written_ += bytes.size();
}

void ZipWriter::add(std::string_view name, std::string_view head, std::span<const std::byte> body) {
  Member member{std::string(name), crc32_of(body, crc32_of(std::as_bytes(std::span(head)))),
                head.size() + body.size(), written_};
  Bytes header;
  header.put<std::uint32_t>(0x04034b50).put(version).put<std::uint16_t>(0).put<std::uint16_t>(0);
  header.put<std::uint16_t>(0).put(earliest_day).put(member.crc).put(in_extra32).put(in_extra32);
  header.put(static_cast<std::uint16_t>(name.size())).put<std::uint16_t>(20).put_text(name);
  header.put<std::uint16_t>(1).put<std::uint16_t>(16).put(member.bytes).put(member.bytes);
  write(header.text());
  write(head);
  file_.write(body);
  written_ += body.size();
  members_.push_back(std::move(member));
}

void ZipWriter::finish() {
  const std::uint64_t begin = written_;
  for (const Member& member : members_) {
    Bytes entry;
    entry.put<std::uint32_t>(0x02014b50)
        .put(version)
        .put(version)
        .put<std::uint16_t>(0)
        .put<std::uint16_t>(0);
    entry.put<std::uint16_t>(0).put(earliest_day).put(member.crc).put(in_extra32).put(in_extra32);
    entry.put(static_cast<std::uint16_t>(member.name.size())).put<std::uint16_t>(28).put<std::uint16_t>(0);
    entry.put<std::uint16_t>(0)
        .put<std::uint16_t>(0)
        .put<std::uint32_t>(0)
        .put(in_extra32)
        .put_text(member.name);
    entry.put<std::uint16_t>(1).put<std::uint16_t>(24).put(member.bytes).put(member.bytes).put(member.offset);
    write(entry.text());
  }
  const std::uint64_t end = written_, count = members_.size();
  Bytes last;
  last.put<std::uint32_t>(0x06064b50).put<std::uint64_t>(44).put(version).put(version).put<std::uint32_t>(0);
  last.put<std::uint32_t>(0).put(count).put(count).put(end - begin).put(begin);
  last.put<std::uint32_t>(0x07064b50).put<std::uint32_t>(0).put(end).put<std::uint32_t>(1);
  last.put<std::uint32_t>(0x06054b50).put<std::uint16_t>(0).put<std::uint16_t>(0).put<std::uint16_t>(0xFFFF);
  last.put<std::uint16_t>(0xFFFF).put(in_extra32).put(in_extra32).put<std::uint16_t>(0);
  write(last.text());
  file_.sync();
  file_.close();
  rename_durably(temporary_, path_);
  finished_ = true;
}

}  // namespace ganymede
