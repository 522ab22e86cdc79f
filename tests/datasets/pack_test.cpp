#include "datasets/pack.h"

#include "core/image_file.h"
#include "tests/core/ordinary_user.h"
#include "tests/datasets/few_threads.h"
#include "tests/datasets/fixture.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

/// A folder of 30 images, and what their dataset is called.
class PackTest : public DatasetTest {
 protected:
  PackTest() {
    fs::create_directories(options.source / "class");
    for (int i = 0; i < 30; ++i) {
      const std::vector<std::uint8_t> pixels(64, static_cast<std::uint8_t>(i));
      write_png(options.source / fmt::format("class/{:02}.png", i), pixels, 8, 8, 1);
    }
  }
  std::int64_t packed() { return pack(options).dataset.count; }

  PackOptions options{.source = folder / "in", .out = folder / "out.h5", .threads = 20};
};

TEST_F(PackTest, GoesOnWithTheThreadsThatStart) {
  EXPECT_EQ(with_threads(3, [&] { return std::to_string(packed()); }), "30");
  EXPECT_EQ(open_dataset({options.out}).size(), 30);
}

TEST_F(PackTest, SaysThatNoThreadStarts) {
  for (const std::int64_t threads : {0, 1}) {
    const std::string message = message_of(
        ExitCode::memory, [&] { with_threads(threads, [&] { return std::to_string(packed()); }); });
    EXPECT_NE(message.find("cannot start a thread"), std::string::npos) << message;
    EXPECT_FALSE(fs::exists(folder / "out.h5.partial"));
  }
}

TEST_F(PackTest, TellsTheSourceFromTheOutputWhereOneIsDenied) {
  fs::permissions(
      folder, fs::perms::all & ~(fs::perms::owner_write | fs::perms::group_write | fs::perms::others_write));
  fs::permissions(options.source / "class/00.png", fs::perms::none);
  {
    const OrdinaryUser user;
    EXPECT_NE(message_of(ExitCode::dataset, [&] { packed(); }).find("00.png"), std::string::npos);
  }
  fs::remove(options.source / "class/00.png");
  {
    const OrdinaryUser user;
    EXPECT_NE(message_of(ExitCode::storage, [&] { packed(); }).find("out.h5"), std::string::npos);
  }
  fs::permissions(folder, fs::perms::owner_all);
  fs::permissions(options.source, fs::perms::none);
  {
    const OrdinaryUser user;
    message_of(ExitCode::dataset, [&] { packed(); });
  }
  fs::permissions(options.source, fs::perms::owner_all);
}

}  // namespace
}  // namespace ganymede
