#include "datasets/image_dataset.h"

#include "datasets/hdf5_file.h"
#include "datasets/verify_dataset.h"
#include "tests/core/ordinary_user.h"
#include "tests/datasets/fixture.h"

namespace ganymede {
namespace {

/// Three blocks of 1 MiB: 768 images of 4 KiB.
class ImageDatasetTest : public DatasetTest {
 protected:
  std::filesystem::path write(const std::string& name, std::uint64_t seed = 0, std::int64_t count = 768) {
    std::vector<std::int64_t> labels(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int64_t>(i % 3);
    return write_dataset(folder / name, description(count), random_bytes(count * 4096, seed), labels);
  }
  static DatasetDescription description(std::int64_t count) {
    return {.count = count, .channels = 1, .height = 64, .width = 64, .class_names = {"a", "b", "c"}};
  }
  std::string refused(const std::vector<std::filesystem::path>& files) {
    return message_of(ExitCode::dataset, [&] { open_dataset(files); });
  }
  static bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }
};

TEST_F(ImageDatasetTest, JoinsFilesInTheOrderGiven) {
  const auto a = write("a.h5", 1, 10), b = write("b.h5", 2, 7), c = write("c.h5", 3, 1);
  const ImageDataset dataset = open_dataset({b, a, c});
  EXPECT_EQ(dataset.size(), 18);
  std::vector<std::byte> image(4096);
  const std::vector<std::vector<std::byte>> all = {random_bytes(7 * 4096, 2), random_bytes(10 * 4096, 1),
                                                   random_bytes(4096, 3)};
  std::int64_t index = 0;
  for (const auto& bytes : all)
    for (std::size_t at = 0; at < bytes.size(); at += 4096, ++index) {
      dataset.read(index, image);
      EXPECT_TRUE(std::equal(image.begin(), image.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at)))
          << index;
    }
  EXPECT_EQ(dataset.labels()[6], 0);
  EXPECT_EQ(dataset.labels()[7], 0);
  EXPECT_EQ(dataset.labels()[8], 1);
  EXPECT_TRUE(has(dataset.where(8), "a.h5: /images: image 1"));
  EXPECT_NE(dataset.digest(), open_dataset({a, b, c}).digest());
  dataset.advise(0, 18);
}

TEST_F(ImageDatasetTest, RefusesToJoinUnlikeFiles) {
  const auto a = write("a.h5", 1, 10);
  DatasetDescription other = description(10);
  other.class_names[1] = "x";
  const auto b = write_dataset(folder / "b.h5", other, random_bytes(10 * 4096));
  EXPECT_TRUE(has(refused({a, b}), "b.h5"));
  other = description(10);
  other.height = 32;
  other.channels = 2;
  EXPECT_TRUE(
      has(refused({a, write_dataset(folder / "c.h5", other, random_bytes(10 * 4096))}), "[2, 32, 64]"));
}

TEST_F(ImageDatasetTest, KnowsACopyFromAnotherDataset) {
  const auto a = write("a.h5", 1), b = write("b.h5", 2);
  std::filesystem::copy_file(a, folder / "copy.h5");
  EXPECT_EQ(open_dataset({a}).digest(), open_dataset({folder / "copy.h5"}).digest());
  EXPECT_NE(open_dataset({a}).digest(), open_dataset({b}).digest());
}

TEST_F(ImageDatasetTest, NoticesAFileReplacedAfterInspection) {
  const auto a = write("a.h5", 1);
  const std::string layout = ImageDataset::inspect({a});
  std::filesystem::copy_file(a, folder / "copy.h5");
  std::filesystem::rename(folder / "copy.h5", a);
  EXPECT_EQ(ImageDataset::attach(layout).size(), 768);
  std::filesystem::rename(write("b.h5", 2), a);
  EXPECT_TRUE(has(message_of(ExitCode::dataset, [&] { ImageDataset::attach(layout); }), "a.h5"));
  std::filesystem::resize_file(a, 1 << 20);
  EXPECT_TRUE(has(message_of(ExitCode::dataset, [&] { ImageDataset::attach(layout); }), "1048576 bytes"));
  std::filesystem::remove(a);
  EXPECT_TRUE(has(message_of(ExitCode::dataset, [&] { ImageDataset::attach(layout); }), "a.h5"));
}

TEST_F(ImageDatasetTest, NamesADamagedBlock) {
  const auto a = write("a.h5");
  flip_byte(a, offset_of_images(a) + 300 * 4096 + 17);
  const ImageDataset dataset = open_dataset({a});
  dataset.verify_block_of(255);
  dataset.verify_block_of(512);
  const std::string message = message_of(ExitCode::dataset, [&] { dataset.verify_block_of(300); });
  EXPECT_TRUE(has(message, "a.h5: /images: block 1 (images 256 to 511)")) << message;
  // Once verified, a block is not read again; once refused, it stays so.
  flip_byte(a, offset_of_images(a) + 17);
  dataset.verify_block_of(255);
  message_of(ExitCode::dataset, [&] { dataset.verify_block_of(256); });
}

TEST_F(ImageDatasetTest, VerifiesEveryBlock) {
  const auto a = write("a.h5"), b = write("b.h5", 2, 300);
  std::int64_t last = 0;
  const VerifiedDataset verified = verify_dataset({a, b}, 2, [&](std::int64_t done, std::int64_t total) {
    EXPECT_GT(done, last);
    EXPECT_EQ(total, 1068 * 4096);
    last = done;
  });
  EXPECT_EQ(last, 1068 * 4096);
  EXPECT_EQ(verified.images, 1068);
  EXPECT_EQ(verified.blocks, 5);
  EXPECT_TRUE(verified.has_digests);
  flip_byte(b, offset_of_images(b) + 299 * 4096);
  flip_byte(a, offset_of_images(a));
  const std::string message = message_of(ExitCode::dataset, [&] { verify_dataset({a, b}, 2); });
  EXPECT_TRUE(has(message, "a.h5: /images: block 0 (images 0 to 255)")) << message;
  EXPECT_TRUE(has(message, "2 damaged blocks")) << message;
  EXPECT_TRUE(has(message, "b.h5: /images: block 1 (images 256 to 299)")) << message;
}

TEST_F(ImageDatasetTest, VerifiesRealValues) {
  const DatasetDescription real{
      .type = ElementType::float32, .count = 5, .channels = 1, .height = 2, .width = 2, .low = 0, .high = 1};
  std::vector<float> values(20, 0.5f);
  const auto verify = [&] {
    return verify_dataset({write_dataset(folder / "a.h5", real, std::as_bytes(std::span(values)))}, 1);
  };
  EXPECT_EQ(verify().images, 5);
  values[13] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(has(message_of(ExitCode::dataset, verify), "image 3 holds nan"));
  values[13] = 1.5f;
  EXPECT_TRUE(has(message_of(ExitCode::dataset, verify), "image 3 holds 1.5; expected numbers in [0, 1]"));
}

// Of any byte that a reader depends on, a flip is either noticed or harmless: what is read stays what was
// written.
TEST_F(ImageDatasetTest, NoFlippedByteGoesUnnoticed) {
  const std::int64_t count = 16;
  DatasetDescription small = description(count);
  small.height = small.width = 4;
  const std::vector<std::byte> images = random_bytes(count * 16);
  const std::vector<std::int64_t> labels = {0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, -1};
  const auto whole = write_dataset(folder / "a.h5", small, images, labels);
  const std::string digest = open_dataset({whole}).digest();
  const auto size = static_cast<std::int64_t>(std::filesystem::file_size(whole));
  int refusals = 0;
  for (std::int64_t at = 0; at < size; at += 89) {
    const auto damaged = folder / "b.h5";
    std::filesystem::copy_file(whole, damaged, std::filesystem::copy_options::overwrite_existing);
    flip_byte(damaged, at);
    try {
      verify_dataset({damaged}, 1);
      EXPECT_EQ(open_dataset({damaged}).digest(), digest) << "byte " << at;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::dataset) << error.what();
      ++refusals;
    }
  }
  EXPECT_GT(refusals, 10);
}

// A file cut anywhere is refused.
TEST_F(ImageDatasetTest, RefusesTruncatedFiles) {
  const auto whole = write("a.h5", 1, 20);
  const auto size = static_cast<std::int64_t>(std::filesystem::file_size(whole));
  for (const std::int64_t left : {std::int64_t{0}, std::int64_t{7}, std::int64_t{100}, size / 2, size - 1}) {
    const auto cut = folder / "b.h5";
    std::filesystem::copy_file(whole, cut, std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(cut, static_cast<std::uintmax_t>(left));
    EXPECT_TRUE(has(refused({cut}), "b.h5")) << left;
  }
}

TEST_F(ImageDatasetTest, SaysThatAFileWasCutWhileInUse) {
  const auto path = write("a.h5", 1, 20);
  const ImageDataset dataset = open_dataset({path});
  std::vector<std::byte> image(4096);
  dataset.read(19, image);
  std::filesystem::resize_file(path, 8192);
  dataset.prefetch(19);
  const std::string message = message_of(ExitCode::storage, [&] { dataset.read(19, image); });
  EXPECT_TRUE(has(message, "a.h5 ends 4096 bytes early")) << message;
}

TEST_F(ImageDatasetTest, RefusesAFileThatMayNotBeRead) {
  namespace fs = std::filesystem;
  const fs::path path = write("a.h5", 1, 3);
  fs::permissions(folder, fs::perms::all);
  fs::permissions(path, fs::perms::none);
  const OrdinaryUser user;
  const std::string message = refused({path});
  EXPECT_TRUE(has(message, "so that this user may read it")) << message;
}

TEST_F(ImageDatasetTest, RefusesWhatIsNoDatasetFile) {
  EXPECT_TRUE(has(refused({folder / "none.h5"}), "no such file"));
  EXPECT_TRUE(has(refused({folder}), "not a file"));
  std::ofstream(folder / "text.h5") << "Hello, this is no HDF5 file but a text of some length.";
  EXPECT_TRUE(has(refused({folder / "text.h5"}), "not an HDF5 file"));
  std::ofstream(folder / "empty.h5");
  EXPECT_TRUE(has(refused({folder / "empty.h5"}), "empty"));
  EXPECT_TRUE(has(refused({}), "--data"));
}

}  // namespace
}  // namespace ganymede
