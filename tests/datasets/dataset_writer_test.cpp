#include "datasets/dataset_writer.h"

#include <sys/resource.h>

#include <csignal>
#include <thread>

#include "tests/datasets/fixture.h"

namespace ganymede {
namespace {

using DatasetWriterTest = DatasetTest;

bool holds_nothing(const std::filesystem::path& folder) {
  return std::filesystem::directory_iterator(folder) == std::filesystem::directory_iterator();
}

TEST_F(DatasetWriterTest, RoundTripsEveryType) {
  for (const ElementType type : element_types) {
    const DatasetDescription description{.type = type,
                                         .count = 37,
                                         .channels = 3,
                                         .height = 6,
                                         .width = 5,
                                         .low = type == ElementType::uint8 ? 0.0 : -2.5,
                                         .high = type == ElementType::uint8 ? 255.0 : 4.0,
                                         .class_names = {"cat", "blåhaj", ""},
                                         .provenance = {{"source", "somewhere"}, {"empty", ""}}};
    const std::vector<std::byte> images = random_bytes(37 * description.image_bytes());
    std::vector<std::int64_t> labels(37, 2);
    labels[5] = -1;
    const ImageDataset dataset = open_dataset({write_dataset(folder / "a.h5", description, images, labels)});
    EXPECT_EQ(dataset.size(), 37);
    EXPECT_EQ(dataset.channels(), 3);
    EXPECT_EQ(dataset.height(), 6);
    EXPECT_EQ(dataset.width(), 5);
    EXPECT_EQ(dataset.type(), type);
    EXPECT_EQ(dataset.low(), description.low);
    EXPECT_EQ(dataset.high(), description.high);
    EXPECT_EQ(dataset.class_names(), description.class_names);
    EXPECT_EQ(dataset.classes(), 3);
    EXPECT_TRUE(std::equal(labels.begin(), labels.end(), dataset.labels().begin()));
    EXPECT_TRUE(dataset.has_digests());
    const auto size = static_cast<std::size_t>(description.image_bytes());
    std::vector<std::byte> image(size);
    for (std::int64_t i = 0; i < 37; ++i) {
      dataset.verify_block_of(i);
      dataset.read(i, image);
      EXPECT_TRUE(std::equal(image.begin(), image.end(), images.begin() + i * description.image_bytes()))
          << i;
    }
    EXPECT_EQ(offset_of_images(folder / "a.h5") % 4096, 0);
  }
}

TEST_F(DatasetWriterTest, TakesImagesFromManyThreadsInAnyOrder) {
  const DatasetDescription description{.count = 1000, .channels = 1, .height = 40, .width = 40};
  const std::vector<std::byte> images = random_bytes(1000 * 1600);
  DatasetWriter writer(folder / "a.h5", description);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (std::int64_t i = 999 - t; i >= 0; i -= 4)
        writer.write_images(i, std::span(images).subspan(static_cast<std::size_t>(i * 1600), 1600));
    });
  for (std::thread& thread : threads) thread.join();
  writer.finish();
  const ImageDataset dataset = open_dataset({folder / "a.h5"});
  EXPECT_EQ(dataset.classes(), 0);
  EXPECT_EQ(dataset.labels()[999], -1);
  std::vector<std::byte> image(1600);
  for (std::int64_t i = 0; i < 1000; ++i) {
    dataset.verify_block_of(i);
    dataset.read(i, image);
    ASSERT_TRUE(std::equal(image.begin(), image.end(), images.begin() + i * 1600)) << i;
  }
}

TEST_F(DatasetWriterTest, LeavesNothingWhenAbandoned) {
  {
    DatasetWriter writer(folder / "a.h5", {.count = 2, .channels = 1, .height = 4, .width = 4});
    writer.write_images(0, random_bytes(16));
    EXPECT_FALSE(holds_nothing(folder));
    EXPECT_THROW(writer.finish(), std::logic_error);  // image 1 was never written
  }
  EXPECT_TRUE(holds_nothing(folder));
}

TEST_F(DatasetWriterTest, KeepsTheOldFileUntilTheNewIsWhole) {
  const DatasetDescription description{.count = 2, .channels = 1, .height = 4, .width = 4};
  const std::filesystem::path path = write_dataset(folder / "a.h5", description, random_bytes(32, 1));
  const std::string before = open_dataset({path}).digest();
  {
    DatasetWriter writer(path, description);
    writer.write_images(0, random_bytes(32, 2));
    EXPECT_EQ(open_dataset({path}).digest(), before);
    writer.finish();
  }
  EXPECT_NE(open_dataset({path}).digest(), before);
}

TEST_F(DatasetWriterTest, ReplacesWhatAKilledWriterLeft) {
  std::ofstream(folder / "a.h5.partial") << std::string(1 << 20, 'x');
  const DatasetDescription description{.count = 2, .channels = 1, .height = 4, .width = 4};
  const auto path = write_dataset(folder / "a.h5", description, random_bytes(32));
  EXPECT_LT(std::filesystem::file_size(path), 1 << 20);
  EXPECT_EQ(open_dataset({path}).size(), 2);
  EXPECT_FALSE(std::filesystem::exists(folder / "a.h5.partial"));
}

TEST_F(DatasetWriterTest, OneWriterAtATimeMakesAFile) {
  const DatasetDescription description{.count = 2, .channels = 1, .height = 4, .width = 4};
  {
    DatasetWriter writer(folder / "a.h5", description);
    const std::string message =
        message_of(ExitCode::storage, [&] { DatasetWriter(folder / "a.h5", description); });
    EXPECT_NE(message.find("a.h5.partial is being written by another process"), std::string::npos) << message;
    DatasetWriter(folder / "b.h5", description);
    writer.write_images(0, random_bytes(32));
    writer.finish();
    DatasetWriter(folder / "a.h5", description);
  }
  EXPECT_EQ(open_dataset({folder / "a.h5"}).size(), 2);
}

TEST_F(DatasetWriterTest, RefusesWhatNoReaderTakes) {
  const DatasetDescription good{
      .count = 2, .channels = 1, .height = 4, .width = 4, .class_names = {"a", "b"}};
  const auto refused = [&](const DatasetDescription& description) {
    return message_of(ExitCode::dataset, [&] { DatasetWriter(folder / "a.h5", description); });
  };
  DatasetDescription bad = good;
  bad.count = 0;
  EXPECT_NE(refused(bad).find("no images"), std::string::npos);
  bad = good;
  bad.count = std::int64_t{1} << 60;
  EXPECT_NE(refused(bad).find("more bytes"), std::string::npos);
  bad = good;
  bad.high = 1;
  EXPECT_NE(refused(bad).find("expected [0, 255]"), std::string::npos);
  bad = good;
  bad.type = ElementType::float32;
  bad.low = bad.high = 3;
  EXPECT_NE(refused(bad).find("[3, 3]"), std::string::npos);
  bad = good;
  bad.class_names = {"a", "\xff"};
  EXPECT_NE(refused(bad).find("UTF-8"), std::string::npos);
  DatasetWriter writer(folder / "a.h5", good);
  const std::string message = message_of(ExitCode::dataset, [&] {
    writer.write_labels(std::vector<std::int64_t>{0, 2});
  });
  EXPECT_NE(message.find("image 1 is labelled 2; expected -1 to 1"), std::string::npos) << message;
  bad = good;
  bad.class_names.clear();
  const std::int64_t bound = std::int64_t{1} << 24;
  const auto path = write_dataset(folder / "b.h5", bad, random_bytes(32), {-1, bound - 1});
  EXPECT_EQ(open_dataset({path}).classes(), bound);
  DatasetWriter nameless(folder / "c.h5", bad);
  message_of(ExitCode::dataset, [&] { nameless.write_labels(std::vector<std::int64_t>{0, bound}); });
}

TEST_F(DatasetWriterTest, SaysThatATargetCannotBeWritten) {
  const DatasetDescription description{.count = 2, .channels = 1, .height = 4, .width = 4};
  message_of(ExitCode::storage, [&] { DatasetWriter(folder / "missing" / "a.h5", description); });
  message_of(ExitCode::storage, [&] { DatasetWriter(folder, description); });
  EXPECT_TRUE(holds_nothing(folder));
}

// A limit on the size of files stands for the full disk, which a test cannot have without being root.
TEST_F(DatasetWriterTest, LeavesNothingOnAFullDisk) {
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto old = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{1 << 20, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &limit);
  const std::string message = message_of(ExitCode::storage, [&] {
    DatasetWriter(folder / "a.h5", {.count = 1000, .channels = 3, .height = 64, .width = 64});
  });
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, old);
  EXPECT_NE(message.find("a.h5"), std::string::npos) << message;
  EXPECT_TRUE(holds_nothing(folder));
}

}  // namespace
}  // namespace ganymede
