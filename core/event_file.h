#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "core/histogram.h"
#include "core/protobuf.h"
#include "core/record_file.h"

namespace ganymede {

/// A file of events that TensorBoard reads: `events.out.tfevents.<unix time>.<host>.<process>.0`.
///
/// Records are TFRecords, little endian,
///
///     uint64 length | uint32 masked CRC-32C of length | data | uint32 masked CRC-32C of data
///
/// where data is one Event message of TensorFlow's event.proto and summary.proto, and a CRC is masked as
/// (crc >> 15 | crc << 17) + 0xa282ead8. Each record is one write: it outlives this process, and what a kill
/// tears TensorBoard takes for not there yet.
///
/// A process never goes on with another's file. Its own begins with the mark of a restart, on which
/// TensorBoard forgets what earlier files say of `first_step` and later steps; its name sorts after theirs,
/// for TensorBoard reads them in this order.
///
/// Steps are >= 0. Tags are UTF-8; a slash groups them. Every failure is an Error(`storage`).
class EventFile {
 public:
  /// Begins a new file in `folder`. `first_step`: the first that this file may speak of.
  EventFile(const std::filesystem::path& folder, std::int64_t first_step);

  /// One record for all. Values are kept in single precision, as TensorBoard does anyhow.
  void write_scalars(std::int64_t step, std::span<const std::pair<std::string, double>> scalars);
  /// `png` is a whole PNG file of 1 (grey), 3 (RGB) or 4 channels.
  void write_image(std::int64_t step, std::string_view tag, std::string_view png);
  void write_histogram(std::int64_t step, std::string_view tag, const Histogram& histogram);
  /// `markdown` is shown on the page "Text".
  void write_text(std::int64_t step, std::string_view tag, std::string_view markdown);

  const std::filesystem::path& path() const { return file_.path(); }
  /// Why records wait for space; "" where none does.
  const std::string& trouble() const { return file_.trouble(); }

 private:
  void write_summary(std::int64_t step, const ProtoMessage& summary);
  void write_record(const ProtoMessage& event);

  RecordFile file_;
};

/// The bytes of one TFRecord.
std::string tf_record(std::string_view data);

}  // namespace ganymede
