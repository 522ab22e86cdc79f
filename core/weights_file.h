#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <variant>

#include "core/safetensors.h"
#include "core/tensor_type.h"
#include "core/torch_file.h"

namespace ganymede {

/// What a file of weights is, by its bytes; its name says nothing.
enum class WeightsFormat {
  safetensors,
  torch_zip,     ///< torch.save since 1.6: a zip with a pickle and one entry a storage
  torch_legacy,  ///< torch.save before that: pickles, then the storages
  torchscript,   ///< a program with its weights: WeightsFile does not open it
};

/// "safetensors", "torch (zip)", "torch (legacy)", "TorchScript".
std::string_view name_of(WeightsFormat format);

/// Reads the beginning, or a zip's directory. Throws Error(`checkpoint`) if the file is missing or none of these,
/// Error(`storage`) if it cannot be read.
WeightsFormat weights_format(const std::filesystem::path& path);

/// The named tensors of a file that this program need not have written: .safetensors, .pth, .pt, .ckpt, .bin.
/// Nothing in the file is ever run. A checkpoint's nested dicts are flattened with dots: the tensor at
/// {"params_ema": {"conv.weight": ...}} is "params_ema.conv.weight".
///
///     const WeightsFile file = WeightsFile::open("inception.pth");
///     for (const auto& [name, type] : file.tensors()) fmt::print("{} {}\n", name, type.text());
///     const at::Tensor weight = file.read("fc.weight");
///
/// Everything throws Error(`checkpoint`) naming the file where its contents are wrong, Error(`storage`) where
/// it cannot be read.
class WeightsFile {
 public:
  /// Reads names and types. Refuses TorchScript: it is a program.
  static WeightsFile open(const std::filesystem::path& path);

  WeightsFormat format() const { return format_; }
  const std::filesystem::path& path() const { return path_; }
  /// Sorted by name.
  const std::map<std::string, TensorType>& tensors() const { return tensors_; }
  bool contains(const std::string& name) const { return tensors_.contains(name); }

  /// A contiguous tensor of its own in host memory, whatever strides and sharing the file had. One
  /// thread at a time. Throws also if `name` is not in the file, or its bytes are damaged and that shows.
  at::Tensor read(const std::string& name) const;

  /// XXH3-64 over every tensor in the order of names: length of the name (u64, little-endian), name,
  /// TensorType::text() and a newline, the bytes in row-major order. The same weights under the same names
  /// have the same digest in every container. Reads the whole file, one tensor at a time.
  std::uint64_t digest() const;

 private:
  WeightsFile(std::filesystem::path path, WeightsFormat format,
              std::variant<SafetensorsFile, TorchFile> file);

  std::filesystem::path path_;
  WeightsFormat format_;
  std::variant<SafetensorsFile, TorchFile> file_;
  std::map<std::string, TensorType> tensors_;
};

}  // namespace ganymede
