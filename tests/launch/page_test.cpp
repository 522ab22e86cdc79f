#include "launch/report/page.h"

#include <gtest/gtest.h>

namespace ganymede {
namespace {

// RFC 4648, section 10.
TEST(Base64, KnownVectors) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foob"), "Zm9vYg==");
  EXPECT_EQ(base64("\xff\xfe\xfd"), "//79");
}

TEST(PageText, HasEveryPart) {
  for (const Page page : {Page::report, Page::comparison}) {
    const std::string text = page_text(page, "name", {{"key", "value"}});
    EXPECT_TRUE(text.starts_with("<!doctype html>"));
    EXPECT_NE(text.find("<title>name</title>"), text.npos);
    EXPECT_NE(text.find(R"({"key":"value"})"), text.npos);
    EXPECT_EQ(text.find("{{"), text.npos);
    const std::string name = "http://www.w3.org/2000/svg";  // a name, which nobody fetches
    const std::size_t at = text.find("://", text.find(name) == text.npos ? 0 : text.find(name) + name.size());
    EXPECT_EQ(at, text.npos) << text.substr(at, 60);
  }
}

TEST(PageText, NothingFromARunBecomesMarkup) {
  const std::string evil = "</script><script>alert(1)</script>{{script}}";
  const std::string text = page_text(Page::report, evil, {{"name", evil}, {"broken", "\xff"}});
  EXPECT_EQ(text.find("alert(1)</script>"), text.npos);
  EXPECT_EQ(text.find(evil), text.npos);
  EXPECT_NE(text.find("&lt;/script&gt;"), text.npos);
  EXPECT_NE(text.find("\\u003c/script>"), text.npos);
}

}  // namespace
}  // namespace ganymede
