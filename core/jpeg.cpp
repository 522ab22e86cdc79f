#include "core/jpeg.h"

#include <csetjmp>
#include <cstdio>

#include "core/error.h"
// jpeglib.h needs <cstdio> before it.
#include <jerror.h>
#include <jpeglib.h>

namespace ganymede {
namespace {

/// A scan of a few bytes may cost as much time as the whole picture. Ordinary progressive files have about ten.
constexpr int most_scans = 100;

/// libjpeg reports errors by a callback that must not return, so we jump. A jump runs no destructors: the
/// functions that set the jump own nothing but plain values, and memory is taken between them.
class Decoder {
 public:
  explicit Decoder(std::span<const std::byte> file) : file_(file) {
    state_.err = jpeg_std_error(&errors_);
    state_.client_data = this;
    errors_.error_exit = on_error;
    errors_.emit_message = on_message;
    errors_.output_message = [](j_common_ptr) {};
  }
  ~Decoder() { jpeg_destroy_decompress(&state_); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  bool read_header() {
    if (setjmp(jump_) != 0) return false;
    jpeg_create_decompress(&state_);
    state_.progress = &progress_;
    progress_.progress_monitor = count_scans;
    jpeg_mem_src(&state_, reinterpret_cast<const unsigned char*>(file_.data()),
                 static_cast<unsigned long>(file_.size()));
    jpeg_read_header(&state_, TRUE);
    return true;
  }

  /// Chooses the output colours; needs memory for the coefficients of a progressive file.
  bool start() {
    if (setjmp(jump_) != 0) return false;
    if (state_.num_components == 1)
      state_.out_color_space = JCS_GRAYSCALE;
    else if (state_.num_components == 3)
      state_.out_color_space = JCS_RGB;
    else
      state_.out_color_space = JCS_CMYK;
    jpeg_start_decompress(&state_);
    return true;
  }

  /// Fills rows of width * output_components bytes.
  bool read_rows(std::uint8_t* rows, std::size_t stride) {
    if (setjmp(jump_) != 0) return false;
    while (state_.output_scanline < state_.output_height) {
      JSAMPROW row = rows + state_.output_scanline * stride;
      jpeg_read_scanlines(&state_, &row, 1);
    }
    jpeg_finish_decompress(&state_);
    return true;
  }

  std::int64_t width() const { return state_.image_width; }
  std::int64_t height() const { return state_.image_height; }
  int components() const { return state_.num_components; }
  const char* message() const { return message_; }

 private:
  [[noreturn]] static void on_error(j_common_ptr state) {
    auto* decoder = static_cast<Decoder*>(state->client_data);
    state->err->format_message(state, decoder->message_);
    std::longjmp(decoder->jump_, 1);
  }

  static void count_scans(j_common_ptr state) {
    auto* decoder = static_cast<Decoder*>(state->client_data);
    if (decoder->state_.input_scan_number <= most_scans) return;
    std::snprintf(decoder->message_, sizeof decoder->message_, "more than %d scans", most_scans);
    std::longjmp(decoder->jump_, 1);
  }

  static void on_message(j_common_ptr state, int level) {
    if (level >= 0) return;
    switch (state->err->msg_code) {
      // Untidy surroundings, found in files of ordinary cameras and programs; the picture is whole.
      case JWRN_ADOBE_XFORM:
      case JWRN_BOGUS_ICC:
      case JWRN_EXTRANEOUS_DATA:
      case JWRN_JFIF_MAJOR:
      case JWRN_NOT_SEQUENTIAL:
        break;
      default:
        on_error(state);
    }
  }

  std::span<const std::byte> file_;
  jpeg_decompress_struct state_{};
  jpeg_error_mgr errors_{};
  jpeg_progress_mgr progress_{};
  std::jmp_buf jump_;
  char message_[JMSG_LENGTH_MAX] = {};
};

/// a * b / 255, rounded.
int scaled(int a, int b) {
  const int product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

/// Adobe's CMYK counts light, not ink: 255 means none.
std::vector<std::uint8_t> rgb_of_inverted_cmyk(const std::vector<std::uint8_t>& cmyk) {
  std::vector<std::uint8_t> rgb(cmyk.size() / 4 * 3);
  const std::uint8_t* in = cmyk.data();
  for (std::size_t i = 0; i < rgb.size(); i += 3, in += 4)
    for (std::size_t c = 0; c < 3; ++c)
      rgb[i + c] = static_cast<std::uint8_t>(in[3] - scaled(255 - in[c], in[3]));
  return rgb;
}

}  // namespace

Pixels decode_jpeg(std::span<const std::byte> file, std::string_view name) {
  Decoder decoder(file);
  const auto damaged = [&] {
    fail(ExitCode::dataset, "{} is a damaged JPEG file ({}): replace or remove it", name, decoder.message());
  };
  if (!decoder.read_header()) damaged();
  if (decoder.width() * decoder.height() > most_pixels)
    fail(ExitCode::dataset, "{} claims {} x {} pixels, more than {}: shrink or remove it", name,
         decoder.width(), decoder.height(), most_pixels);
  if (decoder.components() == 2 || decoder.components() > 4)
    fail(ExitCode::dataset, "{} is a JPEG file of {} channels; 1, 3 and 4 are known: convert or remove it",
         name, decoder.components());
  Pixels pixels{decoder.width(), decoder.height(), decoder.components(), {}};
  if (!decoder.start()) damaged();
  pixels.values.resize(static_cast<std::size_t>(pixels.width * pixels.height * pixels.channels));
  if (!decoder.read_rows(pixels.values.data(), static_cast<std::size_t>(pixels.width * pixels.channels)))
    damaged();
  if (pixels.channels == 4) {
    pixels.values = rgb_of_inverted_cmyk(pixels.values);
    pixels.channels = 3;
  }
  return pixels;
}

}  // namespace ganymede
