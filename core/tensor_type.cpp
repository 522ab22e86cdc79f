#include "core/tensor_type.h"

#include <algorithm>
#include <limits>
#include <span>
#include <string_view>

#include "core/error.h"
#include "core/strict_json.h"

namespace ganymede {
namespace {

struct DtypeName {
  at::ScalarType dtype;
  std::string_view name;
};

constexpr DtypeName dtype_names[] = {
    {at::kDouble, "F64"}, {at::kFloat, "F32"}, {at::kHalf, "F16"},  {at::kBFloat16, "BF16"},
    {at::kLong, "I64"},   {at::kInt, "I32"},   {at::kShort, "I16"}, {at::kChar, "I8"},
    {at::kByte, "U8"},    {at::kBool, "BOOL"},
};

std::string_view name_of(at::ScalarType dtype) {
  for (const DtypeName& entry : dtype_names)
    if (entry.dtype == dtype) return entry.name;
  fail(ExitCode::checkpoint, "tensors of dtype {} cannot be stored", c10::toString(dtype));
}

at::ScalarType dtype_of(const nlohmann::json& name, const std::string& where) {
  for (const DtypeName& entry : dtype_names)
    if (name == entry.name) return entry.dtype;
  fail(ExitCode::checkpoint, "{}: the dtype {} is not known here", where, quote(name.dump()));
}

}  // namespace

void check_booleans(const at::Tensor& tensor, const std::string& where) {
  if (tensor.scalar_type() != at::kBool) return;
  // Read as bytes: what a C++ bool holds besides 0 and 1 is undefined.
  const std::span bytes(static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes());
  if (std::any_of(bytes.begin(), bytes.end(), [](std::byte value) { return value > std::byte{1}; }))
    fail(ExitCode::checkpoint, "{}: a BOOL that is neither 0 nor 1", where);
}

const nlohmann::json& member(const nlohmann::json& object, const char* key, const std::string& where) {
  if (!object.is_object() || !object.contains(key))
    fail(ExitCode::checkpoint, "{}: \"{}\" is missing", where, key);
  return object.at(key);
}

std::int64_t parse_count(const nlohmann::json& value, const std::string& where) {
  constexpr std::uint64_t limit = std::numeric_limits<std::int64_t>::max();
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > limit)
    fail(ExitCode::checkpoint, "{}: {} is not a count", where, quote(value.dump()));
  return value.get<std::int64_t>();
}

TensorType TensorType::parse(const nlohmann::json& object, const std::string& where) {
  TensorType type;
  type.dtype = dtype_of(member(object, "dtype", where), where);
  const nlohmann::json& shape = member(object, "shape", where);
  if (!shape.is_array()) fail(ExitCode::checkpoint, "{}: \"shape\" is not a list", where);
  for (const nlohmann::json& dimension : shape) type.shape.push_back(parse_count(dimension, where));
  type.check(where);
  return type;
}

void TensorType::check(const std::string& where) const {
  // Zeros count as ones here: the strides of [0, 2^40, 2^40] overflow although its size does not.
  std::int64_t bytes = item_bytes();
  for (const std::int64_t dimension : shape)
    if (__builtin_mul_overflow(bytes, std::max<std::int64_t>(dimension, 1), &bytes))
      fail(ExitCode::checkpoint, "{}: the shape {} overflows", where,
           quote(fmt::format("[{}]", fmt::join(shape, ","))));
}

nlohmann::json TensorType::to_json() const {
  return {{"dtype", name_of(dtype)}, {"shape", shape}};
}

std::int64_t TensorType::numel() const {
  std::int64_t count = 1;
  for (const std::int64_t dimension : shape) count *= dimension;
  return count;
}

std::string TensorType::dtype_text() const {
  return std::string(name_of(dtype));
}

std::string TensorType::text() const {
  return fmt::format("{} [{}]", name_of(dtype), fmt::join(shape, ","));
}

}  // namespace ganymede
