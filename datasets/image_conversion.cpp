#include "datasets/image_conversion.h"

#include <cmath>

#include "core/error.h"

namespace ganymede {

ImageConversion::ImageConversion(const PackOptions& options, ImageSource& source)
    : options_(options), source_(source) {
  crop_ = options.crop.value_or(options.size ? Crop::center : Crop::none);
  Picture first = fit(source.decode(0, source.first(), options.channels.value_or(0)));
  first.values.clear();
  shape_ = first;
  enlarged_ = 0;
  if (shape_.type == ElementType::uint8) {
    if (options.range)
      fail(ExitCode::options, "--range is for floating point data: leave it out, bytes are 0 to 255");
  } else {
    choose_range();
  }
}

DatasetDescription ImageConversion::description() const {
  const SourceContents& contents = source_.contents();
  return {.type = shape_.type,
          .count = source_.count(),
          .channels = shape_.channels,
          .height = shape_.height,
          .width = shape_.width,
          .low = range_.low,
          .high = range_.high,
          .class_names = contents.class_names,
          .provenance = provenance(),
          .pyramid = options_.pyramid};
}

void ImageConversion::convert(std::int64_t index, std::span<const std::byte> stored,
                              std::span<std::byte> planes) {
  // Grey becomes colour without loss; colour becomes grey only when asked.
  const int channels = options_.channels.value_or(shape_.channels == 3 ? 3 : 0);
  Picture picture = source_.decode(index, stored, channels);
  if (shape_.type != ElementType::uint8) check_range(index, picture);
  picture = fit(std::move(picture));
  if (picture.channels != shape_.channels)
    fail(ExitCode::dataset, "{} has colours, {} is grey: choose --channels 1 or --channels 3",
         source_.name_of_image(index), source_.name_of_image(0));
  if (picture.width != shape_.width || picture.height != shape_.height)
    fail(ExitCode::dataset, "{} has {} x {} pixels, {} has {} x {}: give --size to make them alike",
         source_.name_of_image(index), picture.width, picture.height, source_.name_of_image(0), shape_.width,
         shape_.height);
  if (shape_.type != ElementType::uint8) clamp_values(shape_.type, picture.values, range_);
  to_planes(picture, planes);
}

Picture ImageConversion::fit(Picture picture) {
  if (crop_ == Crop::center) picture = crop_to_square(std::move(picture));
  if (!options_.size) return picture;
  if (picture.width < *options_.size || picture.height < *options_.size) ++enlarged_;
  return resize(std::move(picture), *options_.size, *options_.size, options_.filter);
}

void ImageConversion::choose_range() {
  const std::optional<ValueRange> range = options_.range ? options_.range : source_.scan_range();
  range_ = rounded_to(shape_.type, *range);
  if (!(range_.low < range_.high) || !std::isfinite(range_.high - range_.low))
    fail(ExitCode::dataset, "{} has values from {} to {}: give --range LOW,HIGH that {} can hold",
         options_.source.string(), range_.low, range_.high, name_of(shape_.type));
}

void ImageConversion::check_range(std::int64_t index, const Picture& picture) const {
  const ValueRange values = range_of(picture.type, picture.values);
  if (std::isnan(values.low))
    fail(ExitCode::dataset, "{} holds a value that is not finite: mend or remove it",
         source_.name_of_image(index));
  if (values.low < range_.low || values.high > range_.high)
    fail(ExitCode::dataset, "{} has values from {} to {}, outside {} to {}: widen --range or leave it out",
         source_.name_of_image(index), values.low, values.high, range_.low, range_.high);
}

std::map<std::string, std::string> ImageConversion::provenance() const {
  // The name alone: a file that is passed on need not tell where it was made.
  std::filesystem::path path = std::filesystem::absolute(options_.source).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  std::map<std::string, std::string> entries{{"source", path.filename().string()},
                                             {"writer", "ganymede dataset pack"},
                                             {"crop", crop_ == Crop::center ? "center" : "none"}};
  if (!options_.subdir.empty()) entries["subdir"] = options_.subdir;
  entries["resizer"] =
      options_.size ? fmt::format("{} to {}", name_of(options_.filter), *options_.size) : "none";
  return entries;
}

}  // namespace ganymede
