#pragma once

#include <filesystem>

#include "core/files.h"
#include "datasets/npy.h"

namespace ganymede {

/// Rows of floating point numbers in a .npy file: [N, ...] float16, float32 or float64, read a few at a time. Throws
/// Error(dataset), naming the file and the remedy, for anything else, a file of another length than its header claims,
/// and numbers that are not finite in float32.
class NpyRows {
 public:
  explicit NpyRows(const std::filesystem::path& path);
  const NpyHeader& header() const { return header_; }
  std::int64_t count() const { return header_.shape.front(); }
  /// Numbers of a row.
  std::int64_t width() const { return header_.count() / count(); }
  std::vector<float> read(std::int64_t first, std::int64_t count) const;

 private:
  std::filesystem::path path_;
  File file_;
  NpyHeader header_;
  std::int64_t begin_ = 0;  ///< of the values in the file
};

}  // namespace ganymede
