#include "core/png.h"

#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>

#include "core/error.h"
#include "core/files.h"

namespace ganymede {
namespace {

/// What libpng's callbacks share with us. They must not return on error, so we jump. A jump runs no
/// destructors: the functions that set the jump own nothing but plain values, and memory is taken between
/// them.
struct Session {
  std::jmp_buf jump;
  char message[128] = {};
};

[[noreturn]] void on_error(png_structp state, png_const_charp message) {
  auto* session = static_cast<Session*>(png_get_error_ptr(state));
  std::snprintf(session->message, sizeof session->message, "%s", message);
  std::longjmp(session->jump, 1);
}

void on_warning(png_structp, png_const_charp) {}

class Decoder {
 public:
  explicit Decoder(std::span<const std::byte> file) : rest_(file) {
    state_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, &session_, on_error, on_warning);
    if (state_ != nullptr) info_ = png_create_info_struct(state_);
    if (info_ == nullptr) {
      png_destroy_read_struct(&state_, nullptr, nullptr);
      throw std::bad_alloc();
    }
  }
  ~Decoder() { png_destroy_read_struct(&state_, &info_, nullptr); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  bool read_header() {
    if (setjmp(session_.jump) != 0) return false;
    png_set_read_fn(state_, this, read);
    png_set_user_limits(state_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_chunk_malloc_max(state_, 16 << 20);
    png_read_info(state_, info_);
    return true;
  }

  /// Asks for 8 bits a value and no palette or alpha.
  bool start() {
    if (setjmp(session_.jump) != 0) return false;
    const auto color = png_get_color_type(state_, info_);
    if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(state_);
    if (color == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(state_);
    png_set_strip_16(state_);
    png_set_strip_alpha(state_);
    png_set_interlace_handling(state_);
    png_read_update_info(state_, info_);
    return true;
  }

  bool read_rows(png_bytepp rows) {
    if (setjmp(session_.jump) != 0) return false;
    png_read_image(state_, rows);
    png_read_end(state_, nullptr);
    return true;
  }

  std::int64_t width() const { return png_get_image_width(state_, info_); }
  std::int64_t height() const { return png_get_image_height(state_, info_); }
  std::int64_t channels() const { return png_get_channels(state_, info_); }
  std::size_t stride() const { return png_get_rowbytes(state_, info_); }
  const char* message() const { return session_.message; }

 private:
  static void read(png_structp state, png_bytep out, std::size_t count) {
    auto* decoder = static_cast<Decoder*>(png_get_io_ptr(state));
    if (count > decoder->rest_.size()) png_error(state, "it ends too early");
    std::memcpy(out, decoder->rest_.data(), count);
    decoder->rest_ = decoder->rest_.subspan(count);
  }

  std::span<const std::byte> rest_;
  Session session_;
  png_structp state_ = nullptr;
  png_infop info_ = nullptr;
};

class Encoder {
 public:
  Encoder() {
    state_ = png_create_write_struct(PNG_LIBPNG_VER_STRING, &session_, on_error, on_warning);
    if (state_ != nullptr) info_ = png_create_info_struct(state_);
    if (info_ == nullptr) {
      png_destroy_write_struct(&state_, nullptr);
      throw std::bad_alloc();
    }
  }
  ~Encoder() { png_destroy_write_struct(&state_, &info_); }
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  bool encode(const std::uint8_t* pixels, std::uint32_t width, std::uint32_t height, std::uint32_t channels) {
    if (setjmp(session_.jump) != 0) return false;
    png_set_write_fn(state_, &encoded_, append, nullptr);
    png_set_IHDR(state_, info_, width, height, 8, channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(state_, info_);
    for (std::size_t y = 0; y < height; ++y)
      png_write_row(state_, pixels + y * static_cast<std::size_t>(width) * channels);
    png_write_end(state_, nullptr);
    return true;
  }

  bool encode_chunk(const char* type, const char* content, std::size_t length) {
    if (setjmp(session_.jump) != 0) return false;
    png_set_write_fn(state_, &encoded_, append, nullptr);
    png_write_chunk(state_, reinterpret_cast<png_const_bytep>(type),
                    reinterpret_cast<png_const_bytep>(content), length);
    return true;
  }

  const std::string& encoded() const { return encoded_; }
  const char* message() const { return session_.message; }

 private:
  static void append(png_structp state, png_bytep bytes, std::size_t count) {
    static_cast<std::string*>(png_get_io_ptr(state))->append(reinterpret_cast<const char*>(bytes), count);
  }

  Session session_;
  png_structp state_ = nullptr;
  png_infop info_ = nullptr;
  std::string encoded_;
};

}  // namespace

Pixels decode_png(std::span<const std::byte> file, std::string_view name) {
  Decoder decoder(file);
  const auto damaged = [&] {
    fail(ExitCode::dataset, "{} is a damaged PNG file ({}): replace or remove it", name, decoder.message());
  };
  if (!decoder.read_header()) damaged();
  const std::int64_t width = decoder.width();
  const std::int64_t height = decoder.height();
  if (width * height > most_pixels)
    fail(ExitCode::dataset, "{} claims {} x {} pixels, more than {}: shrink or remove it", name, width,
         height, most_pixels);
  if (!decoder.start()) damaged();
  Pixels pixels{width, height, decoder.channels(), {}};
  pixels.values.resize(decoder.stride() * static_cast<std::size_t>(height));
  std::vector<png_bytep> rows(static_cast<std::size_t>(height));
  for (std::size_t y = 0; y < rows.size(); ++y) rows[y] = pixels.values.data() + y * decoder.stride();
  if (!decoder.read_rows(rows.data())) damaged();
  return pixels;
}

std::string encode_png(std::span<const std::uint8_t> pixels, std::int64_t width, std::int64_t height,
                       std::int64_t channels) {
  if ((channels != 1 && channels != 3) || width < 1 || height < 1 || width * height > most_pixels ||
      static_cast<std::int64_t>(pixels.size()) != width * height * channels)
    throw std::invalid_argument(fmt::format("encode_png: {} values for {} x {} pixels of {} channels",
                                            pixels.size(), width, height, channels));
  Encoder encoder;
  if (!encoder.encode(pixels.data(), static_cast<std::uint32_t>(width), static_cast<std::uint32_t>(height),
                      static_cast<std::uint32_t>(channels)))
    throw std::runtime_error(fmt::format("encode_png: {}", encoder.message()));
  return encoder.encoded();
}

std::string encode_png_chunk(std::string_view type, std::string_view content) {
  if (type.size() != 4)
    throw std::invalid_argument(fmt::format("encode_png_chunk: a chunk of type '{}'", type));
  Encoder encoder;
  if (!encoder.encode_chunk(type.data(), content.data(), content.size()))
    throw std::runtime_error(fmt::format("encode_png_chunk: {}", encoder.message()));
  return encoder.encoded();
}

void write_png(const std::filesystem::path& path, std::span<const std::uint8_t> pixels, std::int64_t width,
               std::int64_t height, std::int64_t channels) {
  write_file_durably(path, encode_png(pixels, width, height, channels));
}

}  // namespace ganymede
