#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ganymede {

/// NumPy's .npz: a zip of .npy arrays. Written stored, without compression, in C order.

/// Arrays and texts by name, as numpy.savez(file, **arrays) writes them; texts are of kind S, a scalar each.
struct NpzContents {
  std::map<std::string, at::Tensor> arrays = {};  ///< float64, float32, int64 or uint8
  std::map<std::string, std::string> texts = {};
};

/// Whole or not at all, durably, replacing the old. Throws Error(storage).
void write_npz(const std::filesystem::path& path, const NpzContents& contents);

/// The arrays among `names` that the file holds, of real numbers as float64 and whole ones as int64, and
/// texts. Throws Error(dataset) for a damaged file, an array of other values, or one of more than `limit`
/// bytes.
NpzContents read_npz(const std::filesystem::path& path, const std::vector<std::string>& names,
                     std::int64_t limit = std::int64_t{1} << 33);

/// The names of its arrays. Throws Error(dataset).
std::vector<std::string> npz_names(const std::filesystem::path& path);

}  // namespace ganymede
