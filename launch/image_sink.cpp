#include "launch/image_sink.h"

#include <ATen/ATen.h>

#include <set>

#include "core/error.h"
#include "core/files.h"
#include "core/image_file.h"
#include "core/image_grid.h"
#include "datasets/dataset_writer.h"

namespace ganymede {
namespace {

class GridSink final : public ImageSink {
 public:
  GridSink(std::filesystem::path path, std::int64_t columns) : path_(std::move(path)), columns_(columns) {}
  void take(std::int64_t, const at::Tensor& images, const at::Tensor&) override {
    parts_.push_back(to_bytes(images));
  }
  void finish() override { write_grid(path_, at::cat(parts_), columns_); }

 private:
  std::filesystem::path path_;
  std::int64_t columns_;
  std::vector<at::Tensor> parts_;
};

class DatasetSink final : public ImageSink {
 public:
  DatasetSink(const std::filesystem::path& path, std::int64_t count, const ImageSpec& spec,
              const std::string& source)
      : writer_(path, description(count, spec, source)) {}
  void take(std::int64_t first, const at::Tensor& images, const at::Tensor& labels) override {
    const at::Tensor bytes = to_bytes(images).contiguous();
    writer_.write_images(first, {static_cast<const std::byte*>(bytes.data_ptr()), bytes.nbytes()});
    const std::int64_t* values = labels.data_ptr<std::int64_t>();
    labels_.insert(labels_.end(), values, values + labels.numel());
  }
  void finish() override {
    writer_.write_labels(labels_);
    writer_.finish();
  }

 private:
  static DatasetDescription description(std::int64_t count, const ImageSpec& spec,
                                        const std::string& source) {
    DatasetDescription description{.type = ElementType::uint8,
                                   .count = count,
                                   .channels = spec.channels,
                                   .height = spec.height,
                                   .width = spec.width};
    description.provenance["source"] = "ganymede sample --from " + source;
    for (std::int64_t c = 0; c < spec.classes; ++c) description.class_names.push_back(std::to_string(c));
    return description;
  }
  DatasetWriter writer_;
  std::vector<std::int64_t> labels_;
};

class FolderSink final : public ImageSink {
 public:
  explicit FolderSink(std::filesystem::path folder) : folder_(std::move(folder)) {
    create_empty_folder(folder_);
  }
  void take(std::int64_t first, const at::Tensor& images, const at::Tensor& labels) override {
    const std::int64_t channels = images.size(1) < 3 ? 1 : 3;
    const at::Tensor bytes = to_bytes(images).narrow(1, 0, channels).permute({0, 2, 3, 1}).contiguous();
    for (std::int64_t i = 0; i < bytes.size(0); ++i) {
      const auto folder = folder_ / std::to_string(labels[i].item<std::int64_t>());
      create_folders(folder);
      const at::Tensor image = bytes[i];
      write_png(folder / fmt::format("{:06}.png", first + i),
                {image.data_ptr<std::uint8_t>(), static_cast<std::size_t>(image.numel())}, image.size(1),
                image.size(0), channels);
    }
  }
  void finish() override {}

 private:
  std::filesystem::path folder_;
};

}  // namespace

void create_empty_folder(const std::filesystem::path& folder) {
  create_folders(folder);
  std::error_code error;
  // Files of an earlier draw, of more images say, would pass for this one's.
  if (!std::filesystem::is_empty(folder, error) || error)
    fail(ExitCode::storage, "--out {}: {}: name a new folder", folder.string(),
         error ? error.message() : "the folder is not empty");
}

bool is_no_folder(const std::filesystem::path& path) {
  static const std::set<std::string> others{".jpg",  ".jpeg", ".webp", ".gif",  ".bmp", ".tif",
                                            ".tiff", ".npz",  ".npy",  ".hdf5", ".zip", ".tar",
                                            ".PNG",  ".H5",   ".mp4",  ".apng"};
  return others.contains(path.extension().string());
}

std::unique_ptr<ImageSink> make_image_sink(const std::filesystem::path& path, const Drawing& drawing,
                                           const ImageSpec& spec, const std::string& source) {
  if (path.extension() == ".png") {
    if (drawing.count > 10000)
      fail(ExitCode::options, "--out {}: a grid holds at most 10000 images; give a folder or an .h5 file",
           path.string());
    std::error_code unknown;  // what cannot be looked at is written, and the writer says why not
    if (path.has_parent_path() && !std::filesystem::exists(path.parent_path(), unknown) && !unknown)
      fail(ExitCode::storage, "--out {}: there is no folder {}: make it first", path.string(), path.parent_path().string());
    check_grid(drawing.count, grid_columns(drawing), spec.height, spec.width);
    return std::make_unique<GridSink>(path, grid_columns(drawing));
  }
  if (is_no_folder(path))
    fail(ExitCode::options, "--out {}: {} files are not written: give a .png or .h5 file, or a folder",
         path.string(), path.extension().string());
  if (path.extension() == ".h5") return std::make_unique<DatasetSink>(path, drawing.count, spec, source);
  return std::make_unique<FolderSink>(path);
}

}  // namespace ganymede
