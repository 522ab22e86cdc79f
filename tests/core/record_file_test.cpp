#include "core/record_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "core/error.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

TEST(RecordFile, WhatDoesNotGetInWaitsForTheNext) {
  const TemporaryFolder folder;
  RecordFile file(File::open_for_appending(folder / "log"));
  const auto text = [&] { return read_text_file(folder / "log", 1 << 20); };
  file.append("first\n");
  {
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    const rlimit few{9, before.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &few);
    file.append("second\n");
    file.append("third\n");
    ::setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
  }
  EXPECT_EQ(text(), "first\n") << "no torn record";
  EXPECT_NE(file.trouble().find((folder / "log").string()), std::string::npos) << file.trouble();
  file.append("fourth\n");
  EXPECT_EQ(file.trouble(), "");
  EXPECT_EQ(text(), "first\nsecond\nthird\nfourth\n");
}

}  // namespace
}  // namespace ganymede
