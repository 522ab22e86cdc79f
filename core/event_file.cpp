#include "core/event_file.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>

#include "core/error.h"
#include "core/hash.h"
#include "core/host_name.h"

namespace ganymede {
namespace {

// Field numbers of TensorFlow's messages.
namespace event {
constexpr int wall_time = 1, step = 2, file_version = 3, summary = 5, session_log = 7;
}
namespace session_log {
constexpr int status = 1, start = 1;
}
namespace summary {
constexpr int value = 1;
}
namespace value {
constexpr int tag = 1, simple_value = 2, image = 4, histogram = 5, tensor = 8, metadata = 9;
}
namespace image {
constexpr int height = 1, width = 2, colorspace = 3, encoded = 4;
}
namespace histogram {
constexpr int min = 1, max = 2, count = 3, sum = 4, sum_of_squares = 5, limits = 6, counts = 7;
}
namespace metadata {
constexpr int plugin = 1, plugin_name = 1, data_class = 4, tensor_class = 2;
}
namespace tensor {
constexpr int dtype = 1, shape = 2, strings = 8, string_type = 7, dimension = 2, size = 1;
}

constexpr std::string_view prefix = "events.out.tfevents.";

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// The time in an event file's name; -1 for any other name.
std::int64_t time_of(const std::string& name) {
  std::int64_t time = -1;
  if (name.starts_with(prefix)) std::from_chars(name.data() + prefix.size(), name.data() + name.size(), time);
  return time;
}

/// Now, or the second after the newest file's: hosts' clocks differ, and a second may see two starts.
std::filesystem::path next_path(const std::filesystem::path& folder) {
  auto time = static_cast<std::int64_t>(now());
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    time = std::max(time, time_of(entry->path().filename().string()) + 1);
  if (error) fail(ExitCode::storage, "cannot list {}: {}", folder.string(), error.message());
  return folder / fmt::format("{}{:010}.{}.{}.0", prefix, time, host_name(), ::getpid());
}

std::uint32_t masked_crc(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

ProtoMessage event_of(std::int64_t step) {
  ProtoMessage message;
  message.real(event::wall_time, now()).integer(event::step, step);
  return message;
}

struct PngHeader {
  std::int64_t width, height, channels;
};

/// Out of the IHDR chunk, which begins every PNG file.
PngHeader header_of(std::string_view png) {
  TORCH_CHECK(png.size() > 26 && png.substr(12, 4) == "IHDR", "write_image: no PNG file");
  const auto number = [&](std::size_t offset) {
    std::int64_t result = 0;
    for (std::size_t i = 0; i < 4; ++i) result = result << 8 | static_cast<unsigned char>(png[offset + i]);
    return result;
  };
  // Colour types 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha.
  constexpr std::int64_t channels[] = {1, 0, 3, 3, 2, 0, 4};
  const auto type = static_cast<unsigned char>(png[25]);
  return {number(16), number(20), type < std::size(channels) ? channels[type] : 0};
}

}  // namespace

std::string tf_record(std::string_view data) {
  const std::string length = little_endian(data.size(), 8);
  std::string record = length + little_endian(masked_crc(length), 4);
  record += data;
  return record += little_endian(masked_crc(data), 4);
}

EventFile::EventFile(const std::filesystem::path& folder, std::int64_t first_step)
    : file_(File::open_for_appending(next_path(folder))) {
  write_record(ProtoMessage().real(event::wall_time, now()).text(event::file_version, "brain.Event:2"));
  write_record(
      event_of(first_step)
          .message(event::session_log, ProtoMessage().integer(session_log::status, session_log::start)));
}

void EventFile::write_scalars(std::int64_t step, std::span<const std::pair<std::string, double>> scalars) {
  ProtoMessage all;
  for (const auto& [name, number] : scalars)
    all.message(
        summary::value,
        ProtoMessage().text(value::tag, name).single(value::simple_value, static_cast<float>(number)));
  write_summary(step, all);
}

void EventFile::write_image(std::int64_t step, std::string_view tag, std::string_view png) {
  const PngHeader header = header_of(png);
  ProtoMessage picture;
  picture.integer(image::height, header.height)
      .integer(image::width, header.width)
      .integer(image::colorspace, header.channels)
      .text(image::encoded, png);
  write_summary(step,
                ProtoMessage().message(summary::value,
                                       ProtoMessage().text(value::tag, tag).message(value::image, picture)));
}

void EventFile::write_histogram(std::int64_t step, std::string_view tag, const Histogram& numbers) {
  // A limit is its bin's right edge: an empty bin tells the first one's left.
  std::vector<double> counts{0};
  counts.insert(counts.end(), numbers.counts.begin(), numbers.counts.end());
  ProtoMessage message;
  message.real(histogram::min, numbers.min)
      .real(histogram::max, numbers.max)
      .real(histogram::count, numbers.count())
      .real(histogram::sum, numbers.sum)
      .real(histogram::sum_of_squares, numbers.sum_of_squares)
      .reals(histogram::limits, numbers.edges)
      .reals(histogram::counts, counts);
  write_summary(
      step, ProtoMessage().message(summary::value,
                                   ProtoMessage().text(value::tag, tag).message(value::histogram, message)));
}

void EventFile::write_text(std::int64_t step, std::string_view tag, std::string_view markdown) {
  const ProtoMessage plugin = ProtoMessage().text(metadata::plugin_name, "text");
  const ProtoMessage about =
      ProtoMessage().message(metadata::plugin, plugin).integer(metadata::data_class, metadata::tensor_class);
  const ProtoMessage one = ProtoMessage().message(tensor::dimension, ProtoMessage().integer(tensor::size, 1));
  const ProtoMessage text = ProtoMessage()
                                .integer(tensor::dtype, tensor::string_type)
                                .message(tensor::shape, one)
                                .text(tensor::strings, markdown);
  write_summary(
      step,
      ProtoMessage().message(
          summary::value,
          ProtoMessage().text(value::tag, tag).message(value::tensor, text).message(value::metadata, about)));
}

void EventFile::write_summary(std::int64_t step, const ProtoMessage& message) {
  write_record(event_of(step).message(event::summary, message));
}

void EventFile::write_record(const ProtoMessage& message) {
  file_.append(tf_record(message.bytes()));
}

}  // namespace ganymede
