#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "datasets/hdf5_chunks.h"

namespace ganymede {

/// "1.10.8": of the library that is loaded.
std::string hdf5_version();

/// What an HDF5 dataset is and where its bytes lie.
struct Hdf5Array {
  enum class Storage { contiguous, compact, chunked, virtual_dataset, external };
  std::string type;  ///< "uint8", "int64", "float16", "big-endian float32", "text", "compound", ...
  std::vector<std::int64_t> shape;  ///< empty for a scalar
  std::int64_t element_bytes = 0;   ///< of one value as stored
  Storage storage = Storage::contiguous;
  std::vector<std::int64_t> chunk;  ///< shape of a chunk; empty without chunks
  std::vector<std::string>
      filters;  ///< "gzip", "lzf", "shuffle", ...: none when the bytes are stored as they are
  std::optional<std::int64_t>
      offset;  ///< of the first byte in the file; none while nothing was ever allocated
};

/// An HDF5 file. The only part of the program that knows the HDF5 library; it is used for metadata, for the
/// library serialises all threads on one lock. Locks are never taken: they fail on network file systems. What
/// the library reports becomes an Error whose code is storage for a file being created and dataset for one
/// being read. Not for use by two threads at once, and reading a damaged file may hang or crash it: see
/// guarded_process.h.
class Hdf5File {
 public:
  /// An array as created: `shape` of "uint8", "int32", "int64", "uint64", "float16" or "float32", or of text of
  /// `text_bytes` UTF-8 bytes a string.
  struct NewArray {
    std::string type;
    std::vector<std::int64_t> shape;
    std::int64_t text_bytes = 0;
  };

  /// Creates or truncates, in the format of HDF5 1.8, whose metadata carry checksums. Arrays of at least
  /// `alignment_threshold` bytes start at a multiple of 4 KiB.
  static Hdf5File create(const std::filesystem::path& path, std::int64_t alignment_threshold);
  static Hdf5File open(const std::filesystem::path& path);

  Hdf5File(Hdf5File&&) noexcept;
  Hdf5File& operator=(Hdf5File&&) noexcept;
  ~Hdf5File();

  /// Allocates a contiguous array without writing it, and gives its offset in the file.
  std::int64_t create_array(const std::string& name, const NewArray& array);
  void create_group(const std::string& name);
  /// A second name for the same object.
  void create_hard_link(const std::string& existing, const std::string& name);
  void set_text(const std::string& object, const std::string& attribute, const std::string& value);
  void set_integer(const std::string& object, const std::string& attribute, std::int64_t value);
  void set_numbers(const std::string& object, const std::string& attribute, std::span<const double> values);
  /// Flushes and closes; nothing else may be called after.
  void close();

  /// Whether `name` exists. Refuses soft and external links on its way: what they reach is not this file's.
  bool contains(const std::string& name) const;
  /// Refuses what is no dataset.
  Hdf5Array describe(const std::string& name) const;
  /// The values of an array of shape [...] from `start`, `count` along each axis, as stored.
  std::vector<std::byte> read(const std::string& name, std::span<const std::int64_t> start,
                              std::span<const std::int64_t> count) const;
  /// Every chunk of a chunked array, in any order, with offsets in the file.
  std::vector<Hdf5Chunk> chunks(const std::string& name) const;
  /// The bytes of a chunk as stored, by the index of its first value.
  std::vector<std::byte> read_chunk(const std::string& name, const Hdf5Chunk& chunk) const;
  /// A one-dimensional array of text, of fixed or variable length.
  std::vector<std::string> read_texts(const std::string& name) const;
  /// The attribute's value, or nothing when it is absent; a value of another type or of many bytes is
  /// refused.
  std::optional<std::string> text(const std::string& object, const std::string& attribute) const;
  std::optional<std::int64_t> integer(const std::string& object, const std::string& attribute) const;
  std::optional<std::vector<double>> numbers(const std::string& object, const std::string& attribute) const;

 private:
  struct State;
  explicit Hdf5File(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ganymede
