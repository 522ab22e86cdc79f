#include "launch/text.h"

#include <gtest/gtest.h>

namespace ganymede {
namespace {

TEST(Text, SeparatesThousands) {
  EXPECT_EQ(with_thousands(0), "0");
  EXPECT_EQ(with_thousands(999), "999");
  EXPECT_EQ(with_thousands(1000), "1,000");
  EXPECT_EQ(with_thousands(9416196), "9,416,196");
  EXPECT_EQ(with_thousands(-100), "-100");
  EXPECT_EQ(with_thousands(-123456), "-123,456");
}

TEST(Text, PicksTheUnitOfBytes) {
  EXPECT_EQ(byte_text(0), "0 B");
  EXPECT_EQ(byte_text(1023), "1023 B");
  EXPECT_EQ(byte_text(1024), "1 KiB");
  EXPECT_EQ(byte_text(3 << 19), "1.5 MiB");
  EXPECT_EQ(byte_text(std::int64_t{5} << 40), "5 TiB");
}

TEST(Text, RoundsDurationsToWhatMatters) {
  EXPECT_EQ(duration_text(0.4), "0s");
  EXPECT_EQ(duration_text(59.6), "1m00s");
  EXPECT_EQ(duration_text(192), "3m12s");
  EXPECT_EQ(duration_text(3 * 3600 + 5 * 60 + 59), "3h05m");
}

}  // namespace
}  // namespace ganymede
