#include "datasets/hdf5_source.h"

#include "core/error.h"

namespace ganymede {
namespace {

// Read in order, no row of chunks is needed again.
constexpr std::int64_t cache_bytes = 0;

}  // namespace

Hdf5Source::Hdf5Source(const std::filesystem::path& path)
    : dataset_(ImageDataset::attach(ImageDataset::inspect({path}), cache_bytes)) {
  contents_.labels.assign(dataset_.labels().begin(), dataset_.labels().end());
  contents_.class_names = dataset_.class_names();
  if (dataset_.sources()) contents_.skipped["/sources"] = dataset_.sources()->size();
  if (dataset_.embeddings()) contents_.skipped["/embeddings"] = dataset_.embeddings()->size();
}

void Hdf5Source::read_some(const Wanted& wanted, const Take& take) {
  for (std::int64_t index = 0; index < count(); ++index)
    if (wanted(index) && !take(index, load(index))) return;
}

Picture Hdf5Source::decode(std::int64_t, std::span<const std::byte> stored, int channels) const {
  Picture picture{dataset_.type(), dataset_.width(), dataset_.height(), dataset_.channels()};
  from_planes(stored, picture);
  return with_channels(std::move(picture), channels);
}

std::optional<ValueRange> Hdf5Source::scan_range() {
  if (dataset_.type() == ElementType::uint8) return std::nullopt;
  return ValueRange{dataset_.low(), dataset_.high()};
}

std::vector<std::byte> Hdf5Source::load(std::int64_t index) const {
  std::vector<std::byte> planes(static_cast<std::size_t>(dataset_.image_bytes()));
  dataset_.verify_block_of(index);
  dataset_.read(index, planes);
  return planes;
}

}  // namespace ganymede
