#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "core/files.h"
#include "core/named_tensors.h"
#include "core/tensor_type.h"

namespace ganymede {

/// The safetensors format (github.com/huggingface/safetensors): u64 little-endian length of the header; the
/// header, a JSON object from each tensor's name to {dtype, shape, data_offsets: [begin, end)} padded with
/// spaces; then the tensors' bytes, row-major and little-endian, without holes. The format has no checksum:
/// keep the digest that the writer returns.

/// A file as it was written: size in bytes and XXH3-64 of all of them.
struct FileRecord {
  std::string name;  ///< without folder
  std::int64_t size = 0;
  std::uint64_t digest = 0;

  bool operator==(const FileRecord&) const = default;
};

/// Writes `tensors` in logical row-major order whatever their strides and device, one after the other, so
/// that at most one tensor is copied at a time; then fsync and close. The bytes depend on names, values and
/// metadata alone, not on the order given: widest elements come first, then by name. The name `path` is taken
/// at once; make a new file and rename it where readers must never see half of one. Throws
/// Error(`checkpoint`) on a name given twice or a dtype outside TensorType's list, Error(`storage`) if
/// writing fails; what was written is then removed. `tick` is called after each MiB at most, and what it throws
/// ends the writing likewise.
FileRecord write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                             const std::map<std::string, std::string>& metadata = {},
                             const std::function<void()>& tick = {});

/// A file whose header was read and found sound. Everything that the format forbids is refused, and so are
/// entries it does not define: a header over 100,000,000 bytes, invalid JSON, keys given twice, unknown
/// members or dtypes, sizes that overflow or differ from shape and dtype, holes, overlaps, and bytes missing
/// or left over at the end. What is wrong with the file is an Error(`checkpoint`) that names it and, where
/// there is one, the tensor; a file that cannot be read an Error(`storage`).
///
///     const SafetensorsFile file = SafetensorsFile::open("weights.safetensors");
///     for (const auto& [name, entry] : file.tensors()) fmt::print("{} {}\n", name, entry.type.text());
///     at::Tensor weight = file.read("linear.weight");
class SafetensorsFile {
 public:
  struct Entry {
    TensorType type;
    std::int64_t begin = 0;  ///< bytes after the header
    std::int64_t end = 0;
  };

  static SafetensorsFile open(const std::filesystem::path& path);

  const std::map<std::string, Entry>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  /// A contiguous tensor in host memory. Throws also if `name` is not in the file, or a BOOL is neither 0
  /// nor 1.
  at::Tensor read(const std::string& name) const;

  /// Reads every tensor, in the order of their bytes, into the contiguous host tensor of the same dtype and
  /// number of elements that `destination` returns for its name. Returns the XXH3-64 of the whole file.
  std::uint64_t read_all(const std::function<at::Tensor(const std::string& name)>& destination) const;

 private:
  class Header;
  explicit SafetensorsFile(File file) : file_(std::move(file)) {}

  File file_;
  std::int64_t data_begin_ = 0;  ///< offset of the first tensor's bytes
  std::map<std::string, Entry> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace ganymede
