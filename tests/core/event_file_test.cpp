#include "core/event_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "core/error.h"
#include "core/hash.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

using namespace std::string_literals;

// RFC 3720, appendix B.4.
TEST(Crc32c, KnownVectors) {
  std::string up;
  for (char i = 0; i < 32; ++i) up += i;
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c(up), 0x46dd794eu);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(""), 0u);
}

TEST(TfRecord, IsLengthDataAndTheirMaskedCrcs) {
  const std::string record = tf_record("123456789");
  const auto masked = [](std::uint32_t crc) { return (crc >> 15 | crc << 17) + 0xa282ead8u; };
  const std::string length = "\x09\0\0\0\0\0\0\0"s;
  EXPECT_EQ(record, length + little_endian(masked(crc32c(length)), 4) + "123456789" +
                        little_endian(masked(0xe3069283u), 4));
}

// The examples of protobuf.dev/programming-guides/encoding.
TEST(ProtoMessage, IsEncodedAsTheGuideSays) {
  EXPECT_EQ(ProtoMessage().integer(1, 150).bytes(), "\x08\x96\x01");
  EXPECT_EQ(ProtoMessage().text(2, "testing").bytes(), "\x12\x07testing");
  EXPECT_EQ(ProtoMessage().message(3, ProtoMessage().integer(1, 150)).bytes(), "\x1a\x03\x08\x96\x01");
  EXPECT_EQ(ProtoMessage().integer(2, -2).bytes(), "\x10\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01");
  EXPECT_EQ(ProtoMessage().integer(1, 0).bytes(), "\x08\0"s);
  EXPECT_EQ(ProtoMessage().real(1, 1.0).bytes(), "\x09\0\0\0\0\0\0\xf0\x3f"s);
  EXPECT_EQ(ProtoMessage().single(16, 1.0f).bytes(), "\x85\x01\0\0\x80\x3f"s);
  EXPECT_EQ(ProtoMessage().reals(7, std::vector<double>{1.0}).bytes(), "\x3a\x08\0\0\0\0\0\0\xf0\x3f"s);
}

std::string text_of(const EventFile& file) {
  return read_text_file(file.path(), 1 << 20);
}

TEST(EventFile, AScalarIsTheseBytes) {
  const TemporaryFolder folder;
  EventFile file(folder.path(), 8);
  const std::string before = text_of(file);
  // version; restart at step 8.
  EXPECT_NE(before.find("\x1a\x0d"s + "brain.Event:2"), before.npos);
  EXPECT_NE(before.find("\x10\x08\x3a\x02\x08\x01"), before.npos);
  file.write_scalars(9, std::vector<std::pair<std::string, double>>{{"loss", 1.0}});
  const std::string record = text_of(file).substr(before.size());
  // length and CRC; wall time; step; summary { value { tag, simple_value } }; CRC.
  EXPECT_EQ(record.substr(12, 1), "\x09");
  EXPECT_EQ(record.substr(21, record.size() - 25), "\x10\x09\x2a\x0d\x0a\x0b\x0a\x04loss\x15\0\0\x80\x3f"s);
}

TEST(EventFile, AlwaysSortsAfterTheOthers) {
  const TemporaryFolder folder;
  std::ofstream(folder / "events.out.tfevents.4102444800.elsewhere.1.0") << "of a host whose clock is ahead";
  std::ofstream(folder / "events.out.tfevents.x") << "no number";
  std::string newest = (folder / "events.out.tfevents.4102444800.elsewhere.1.0").string();
  for (int start = 0; start < 3; ++start) {
    const EventFile file(folder.path(), 0);
    EXPECT_GT(file.path().string(), newest);
    newest = file.path().string();
  }
}

TEST(EventFile, AnImageTellsItsSize) {
  const TemporaryFolder folder;
  EventFile file(folder.path(), 0);
  EXPECT_ANY_THROW(file.write_image(1, "grid", "no PNG"));
  // Signature, length and name of IHDR, 5 x 3, 8 bits of RGB.
  const std::string png = "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x05\0\0\0\x03\x08\x02\0\0\0more"s;
  file.write_image(1, "grid", png);
  EXPECT_NE(
      text_of(file).find("\x08\x03\x10\x05\x18\x03\x22" + std::string(1, static_cast<char>(png.size()))),
      std::string::npos);
}

TEST(EventFile, RecordsWaitForSpace) {
  const TemporaryFolder folder;
  expect_error(ExitCode::storage, [&] { EventFile(folder / "absent", 0); });
  EventFile file(folder.path(), 0);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{200, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  file.write_text(1, "options", std::string(1000, 'x'));
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(file.trouble().find("tfevents"), std::string::npos) << file.trouble();
  file.write_text(2, "options", "more");
  EXPECT_EQ(file.trouble(), "");
  EXPECT_NE(text_of(file).find(std::string(1000, 'x')), std::string::npos);
}

}  // namespace
}  // namespace ganymede
