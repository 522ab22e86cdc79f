#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "core/files.h"

namespace ganymede {

/// The directory of a zip whose entries are stored as they are, not compressed, as torch.save writes them
/// (PKWARE APPNOTE 6.3, sections 4.3 and 4.5.3: Zip64). Entries are read from the file by their range of
/// bytes.
class StoredZip {
 public:
  struct Entry {
    std::int64_t header = 0;  ///< offset of its local header
    std::int64_t size = 0;
    std::uint32_t crc = 0;  ///< CRC-32 of its bytes; 0 also where the writer had no time for it
    bool is_stored = true;  ///< neither compressed nor encrypted
  };

  /// Reads the directory at the end of `file`, which must outlive the zip. Throws Error(`checkpoint`) where
  /// there is none, a field of it does not fit the file, or a name is given twice.
  static StoredZip open(const File& file);

  const std::map<std::string, Entry>& entries() const { return entries_; }
  /// Offset in the file of the first of the entry's `size` bytes. Throws Error(`checkpoint`) if it is not in
  /// the directory, not stored, or its local header does not agree.
  std::int64_t begin(const File& file, const std::string& name) const;

 private:
  class Directory;
  std::map<std::string, Entry> entries_;
  std::int64_t end_ = 0;  ///< offset of the directory: entries end before
};

/// CRC-32 of `bytes` behind those that gave `before`.
std::uint32_t crc32_of(std::span<const std::byte> bytes, std::uint32_t before = 0);

}  // namespace ganymede
