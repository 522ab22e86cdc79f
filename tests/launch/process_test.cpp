#include "launch/process.h"

#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <tuple>

namespace ganymede {
namespace {

TEST(AsError, LeavesOursAsTheyAre) {
  const Error error = as_error(Error(ExitCode::dataset, "no such file"));
  EXPECT_EQ(error.code(), ExitCode::dataset);
  EXPECT_STREQ(error.what(), "no such file");
}

TEST(AsError, KnowsWantOfMemory) {
  EXPECT_EQ(as_error(std::bad_alloc()).code(), ExitCode::memory);
  try {
    TORCH_CHECK(false, "[enforce fail at alloc_cpu.cpp] . DefaultCPUAllocator: can't allocate memory");
  } catch (const std::exception& error) {
    EXPECT_EQ(as_error(error).code(), ExitCode::memory) << error.what();
    const std::string remedy = as_error(error).what();
    EXPECT_NE(remedy.find("train.batch"), remedy.npos);
    EXPECT_NE(remedy.find("--batch"), remedy.npos);
  }
}

TEST(AsError, AFileOutOfReachIsStorage) {
  const std::string name(300, 'x');
  try {
    std::ignore = std::filesystem::exists(name + "/y");
    FAIL();
  } catch (const std::exception& error) {
    EXPECT_EQ(as_error(error).code(), ExitCode::storage);
    EXPECT_EQ(as_error(error).what(), name + "/y: File name too long");
  }
}

TEST(AsError, AllElseIsABugOfOneLine) {
  const Error error = as_error(std::runtime_error("index 3\nframe #0"));
  EXPECT_EQ(error.code(), ExitCode::bug);
  EXPECT_STREQ(error.what(), "bug: index 3");
}

TEST(Process, RanksAgreeOnWhatIsNoErrorOfOurs) {
  Process process;
  try {
    process.together([] { throw std::bad_alloc(); });
    FAIL();
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.code(), ExitCode::memory);
    EXPECT_TRUE(error.is_mine());
    EXPECT_FALSE(error.is_local()) << "there is but one rank";
  }
}

TEST(Process, WhatTakesLongTellsOfItAndMayFail) {
  Process process;
  EXPECT_EQ(process.from_root_slowly([](const Process::Alive& alive) {
    for (int i = 0; i < 3; ++i) alive("a test");
    return "its text";
  }),
            "its text");
  EXPECT_THROW(process.from_root_slowly([](const Process::Alive& alive) -> std::string {
    alive("a test");
    fail(ExitCode::checkpoint, "damaged");
  }),
               AgreedError);
}

}  // namespace
}  // namespace ganymede
