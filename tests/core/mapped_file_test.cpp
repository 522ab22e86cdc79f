#include "core/mapped_file.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <thread>
#include <vector>

#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

constexpr std::int64_t page = 4096;

class MappedFileTest : public testing::Test {
 protected:
  MappedFileTest() {
    std::string text(3 * page, 'a');
    text[page - 1] = 'b';
    text[page] = 'c';
    write_file_durably(path_, text);
  }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "a";
};

std::string copied(const MappedFile& mapping, std::int64_t offset, std::size_t count) {
  std::vector<std::byte> bytes(count);
  if (!mapping.copy(offset, bytes)) return "nothing";
  return {reinterpret_cast<const char*>(bytes.data()), count};
}

TEST_F(MappedFileTest, CopiesAcrossPagesAndAfterAMove) {
  std::optional<MappedFile> mapping = MappedFile::of(File::open_for_reading(path_), 3 * page);
  ASSERT_TRUE(mapping);
  const MappedFile moved = std::move(*mapping);
  mapping.reset();
  EXPECT_EQ(copied(moved, page - 2, 4), "abca");
}

// More than once, and in several threads at once: the way out is each thread's own.
TEST_F(MappedFileTest, SaysWhereBytesWereCutOff) {
  const std::optional<MappedFile> mapping = MappedFile::of(File::open_for_reading(path_), 3 * page);
  ASSERT_TRUE(mapping);
  std::filesystem::resize_file(path_, page);
  const auto look = [&] {
    for (int i = 0; i < 100; ++i) {
      EXPECT_EQ(copied(*mapping, page - 1, 1), "b");
      EXPECT_EQ(copied(*mapping, page - 1, 2), "nothing");
      EXPECT_EQ(copied(*mapping, 2 * page, 1), "nothing");
    }
  };
  std::thread other(look);
  look();
  other.join();
}

TEST_F(MappedFileTest, LeavesOtherBusErrorsToWhoeverHandlesThem) {
  const File file = File::open_for_reading(path_);
  ASSERT_TRUE(MappedFile::of(file, page));
  // By the signal, or by what a sanitizer makes of it.
  EXPECT_DEATH(
      {
        const auto* bytes = static_cast<const volatile char*>(
            ::mmap(nullptr, 3 * page, PROT_READ, MAP_SHARED, file.descriptor(), 0));
        std::filesystem::resize_file(path_, page);
        static_cast<void>(bytes[2 * page]);
      },
      "");
}

TEST_F(MappedFileTest, IsNothingWhereTheSystemRefuses) {
  EXPECT_FALSE(MappedFile::of(File::open_for_reading(path_), 0));
  EXPECT_FALSE(MappedFile::of(File::open_for_reading("/dev/null"), page));
}

}  // namespace
}  // namespace ganymede
