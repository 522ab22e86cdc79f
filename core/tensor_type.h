#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ganymede {

/// Dtype and shape of a tensor in a file, with the names that safetensors gives the dtypes: F64, F32, F16,
/// BF16, I64, I32, I16, I8, U8, BOOL.
struct TensorType {
  at::ScalarType dtype = at::kFloat;
  std::vector<std::int64_t> shape;

  static TensorType of(const at::Tensor& tensor) { return {tensor.scalar_type(), tensor.sizes().vec()}; }
  /// From a JSON object's members "dtype" and "shape". Throws Error(`checkpoint`), beginning with `where`, on
  /// an unknown dtype, a dimension that is no number or negative, or more bytes than 63 bits count.
  static TensorType parse(const nlohmann::json& object, const std::string& where);

  /// {"dtype": "F32", "shape": [2, 3]}. Throws Error(`checkpoint`) on a dtype outside the list above.
  nlohmann::json to_json() const;
  /// Throws Error(`checkpoint`), beginning with `where`, if it has more bytes than 63 bits count.
  void check(const std::string& where) const;
  std::int64_t numel() const;
  std::int64_t item_bytes() const { return static_cast<std::int64_t>(c10::elementSize(dtype)); }
  std::int64_t bytes() const { return numel() * item_bytes(); }
  /// "F32"
  std::string dtype_text() const;
  /// "F32 [2,3]", for messages.
  std::string text() const;

  bool operator==(const TensorType&) const = default;
};

/// Throws Error(`checkpoint`), beginning with `where`, if `tensor` is one of booleans, read from a file, that
/// are not all 0 or 1.
void check_booleans(const at::Tensor& tensor, const std::string& where);

/// The non-negative integer `value`. Throws Error(`checkpoint`), beginning with `where`, if it is anything
/// else.
std::int64_t parse_count(const nlohmann::json& value, const std::string& where);

/// The member `key` of `object`. Throws Error(`checkpoint`), beginning with `where`, if there is none.
const nlohmann::json& member(const nlohmann::json& object, const char* key, const std::string& where);

}  // namespace ganymede
