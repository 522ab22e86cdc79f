#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "core/files.h"
#include "core/stored_zip.h"
#include "core/torch_tensors.h"

namespace ganymede {

/// The tensors of a file that torch.save wrote, in either of its formats:
///
/// - zip, since 1.6: NAME/data.pkl, the pickle; NAME/data/KEY, the bytes of each storage; NAME/byteorder. A
///   zip with NAME/code/ is a TorchScript program, and is not opened.
/// - legacy: pickles of the magic number, the version 1001, the writer's byte order, the object and the list
///   of storage keys; then for each key the number of its elements (i64) and their bytes.
///
/// The pickle is followed by core/pickle.h: code in it is refused, never run. Sizes are held against the
/// file's before anything is allocated; all tensors together may be 64 times as large as the file, for what
/// shares a storage counts each time. Throws Error(`checkpoint`) naming the file where its contents are
/// wrong, Error(`storage`) where it cannot be read.
class TorchFile {
 public:
  enum class Format { zip, legacy, program, other };

  /// Reads a zip's directory, or the first pickle. A file that begins with a pickle which torch.save did not
  /// write is refused for what is in it.
  static Format format_of(const File& file);

  /// `file` is in `format`: zip or legacy.
  static TorchFile open(File file, Format format);

  const std::map<std::string, TorchTensor>& tensors() const { return tensors_; }

  /// A contiguous tensor of its own in host memory. A zip's storages are held to their CRC-32 when first
  /// read, so that one thread at a time may call this. Throws also if `name` is not in the file.
  at::Tensor read(const std::string& name) const;

 private:
  /// The bytes of a storage.
  struct Range {
    std::int64_t begin = 0;
    std::int64_t size = 0;
    std::uint32_t crc = 0;  ///< 0: none
  };

  explicit TorchFile(File file) : file_(std::move(file)) {}
  void open_zip();
  void open_legacy();
  /// Of a legacy file: they begin at `position`, in the order of `keys`.
  void place_storages(const std::map<std::string, TorchStorage>& storages, const Pickle& keys,
                      std::int64_t position);
  void take_tensors(const Pickle& pickle);
  void check_crc(const std::string& name, const Range& range, std::uint32_t crc) const;
  void check_storage(const std::string& key) const;

  File file_;
  std::map<std::string, TorchTensor> tensors_;
  std::map<std::string, Range> storages_;
  mutable std::set<std::string> sound_;  ///< storages whose CRC-32 was right
};

}  // namespace ganymede
