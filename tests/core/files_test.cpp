#include "core/files.h"

#include <gtest/gtest.h>

#include "tests/core/ordinary_user.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

TEST(Files, TheRemedyFitsWhatWasDenied) {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  File::create(folder / "secret").write("x");
  fs::permissions(folder / "secret", fs::perms::none);
  fs::permissions(folder.path(), fs::perms::owner_exec | fs::perms::group_exec | fs::perms::others_exec);
  {
    const OrdinaryUser user;
    const auto denied = [&](const std::string& remedy, const std::function<void()>& action) {
      const std::string message = expect_error(ExitCode::storage, action);
      EXPECT_NE(message.find(remedy), std::string::npos) << message;
    };
    denied("may read it", [&] { File::open_for_reading(folder / "secret"); });
    denied("may write to", [&] { File::open_for_appending(folder / "secret"); });
    denied("may write to", [&] { File::create(folder / "new"); });
  }
  fs::permissions(folder.path(), fs::perms::owner_all);
}

TEST(Files, AFileCreatedExclusivelyIsEmptiedOnceItsWriterIsGone) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "file";
  {
    File first = File::create_exclusively(path);
    first.write("first");
    expect_error(ExitCode::storage, [&] { File::create_exclusively(path); });
    EXPECT_EQ(read_text_file(path, 100), "first");
  }
  File second = File::create_exclusively(path);
  EXPECT_EQ(second.size(), 0);
  rename_durably(path, folder / "published");
  File third = File::create_exclusively(path);
  second.write("second");
  EXPECT_EQ(third.size(), 0);
}

}  // namespace
}  // namespace ganymede
