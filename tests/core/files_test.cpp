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

}  // namespace
}  // namespace ganymede
