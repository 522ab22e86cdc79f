#include "core/animated_png.h"

#include <stdexcept>

#include "core/error.h"
#include "core/files.h"
#include "core/png.h"

namespace ganymede {
namespace {

constexpr std::size_t signature_bytes = 8;

/// Numbers in PNG are big-endian.
std::string big_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
    text.push_back(static_cast<char>((value >> shift) & 0xff));
  return text;
}

std::uint32_t read_length(std::string_view file) {
  std::uint32_t length = 0;
  for (int i = 0; i < 4; ++i)
    length = length << 8 | static_cast<std::uint8_t>(file[static_cast<std::size_t>(i)]);
  return length;
}

}  // namespace

AnimatedPng::AnimatedPng(std::int64_t width, std::int64_t height, std::int64_t channels, std::int64_t frames,
                         std::int64_t per_second)
    : width_(width), height_(height), channels_(channels), frames_(frames), per_second_(per_second) {
  if (frames < 1 || per_second < 1 || per_second > 1000)
    throw std::invalid_argument(fmt::format("AnimatedPng: {} frames, {} a second", frames, per_second));
}

void AnimatedPng::append(std::string_view type, std::string_view content) {
  file_ += encode_png_chunk(type, content);
}

void AnimatedPng::append_control() {
  std::string control = big_endian(sequence_++, 4);
  for (const std::int64_t size : {width_, height_, std::int64_t{0}, std::int64_t{0}})
    control += big_endian(static_cast<std::uint64_t>(size), 4);
  control += big_endian(1, 2) + big_endian(static_cast<std::uint64_t>(per_second_), 2);
  control += std::string(2, '\0');  // the frame stays until the next one, which replaces it
  append("fcTL", control);
}

void AnimatedPng::add(std::span<const std::uint8_t> pixels) {
  if (added_ >= frames_) throw std::logic_error("AnimatedPng: more frames than were said");
  const std::string frame = encode_png(pixels, width_, height_, channels_);
  for (std::size_t at = signature_bytes; at < frame.size();) {
    const std::string_view rest = std::string_view(frame).substr(at);
    const std::size_t length = read_length(rest);
    const std::string_view type = rest.substr(4, 4), content = rest.substr(8, length);
    if (type == "IHDR" && added_ == 0) {
      file_ = frame.substr(0, signature_bytes);
      append(type, content);
      append("acTL", big_endian(static_cast<std::uint64_t>(frames_), 4) + big_endian(0, 4));
    }
    if (type == "IHDR") append_control();
    if (type == "IDAT" && added_ == 0) append(type, content);
    if (type == "IDAT" && added_ > 0) append("fdAT", big_endian(sequence_++, 4) + std::string(content));
    at += length + 12;
  }
  ++added_;
}

void AnimatedPng::finish(const std::filesystem::path& path) {
  if (added_ != frames_) throw std::logic_error("AnimatedPng: fewer frames than were said");
  append("IEND", {});
  write_file_durably(path, file_);
}

}  // namespace ganymede
