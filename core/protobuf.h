#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ganymede {

/// A message in the wire format of protocol buffers, built field by field. What a schema calls int32, int64,
/// bool or enum is an `integer` here, double a `real`, float a `single`, string and bytes a `text`.
///
///     ProtoMessage().integer(2, 7).text(3, "hi").bytes()  ==  "\x10\x07\x1a\x02hi"
///
/// https://protobuf.dev/programming-guides/encoding
class ProtoMessage {
 public:
  ProtoMessage& integer(int field, std::int64_t value);
  ProtoMessage& real(int field, double value);
  ProtoMessage& single(int field, float value);
  ProtoMessage& text(int field, std::string_view value);
  ProtoMessage& message(int field, const ProtoMessage& value) { return text(field, value.bytes()); }
  /// A packed `repeated double`.
  ProtoMessage& reals(int field, std::span<const double> values);

  const std::string& bytes() const { return bytes_; }

 private:
  void varint(std::uint64_t value);
  void key(int field, int wire_type);

  std::string bytes_;
};

/// The `width` low bytes of `value`, the lowest first.
std::string little_endian(std::uint64_t value, int width);

}  // namespace ganymede
