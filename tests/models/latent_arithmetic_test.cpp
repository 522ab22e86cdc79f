#include "models/latent_arithmetic.h"

#include <gtest/gtest.h>

#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

TEST(LatentTerms, AreListsOfImagesWithSigns) {
  const std::vector<LatentTerm> terms = read_latent_terms("3,8,12-5+7,2");
  ASSERT_EQ(terms.size(), 3);
  EXPECT_EQ(terms[0].images, std::vector<std::int64_t>({3, 8, 12}));
  EXPECT_EQ(terms[1].images, std::vector<std::int64_t>({5}));
  EXPECT_EQ(terms[2].images, std::vector<std::int64_t>({7, 2}));
  EXPECT_EQ(terms[0].sign, 1);
  EXPECT_EQ(terms[1].sign, -1);
  EXPECT_EQ(terms[2].sign, 1);
  EXPECT_EQ(read_latent_terms("-4").front().sign, -1);
  EXPECT_EQ(read_latent_terms("+4+5").size(), 2);
}

TEST(LatentTerms, OfAnotherFormAreRefused) {
  const auto refused = [](const std::string& text) {
    return expect_error(ExitCode::options, [&] { read_latent_terms(text); });
  };
  for (const char* text : {"", "-", "3,", ",3", "3--4", "3+", "3;4", "a-b", "3 - 4", "1e3", "12345678901"})
    EXPECT_NE(refused(text).find("is not the index of an image"), std::string::npos) << text;
  EXPECT_NE(refused("1+2+3+4+5+6+7+8+9").find("at most 8 terms"), std::string::npos);
  EXPECT_NE(refused("1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17").find("at most 16 images"),
            std::string::npos);
}

TEST(LatentTerms, AddUpBySign) {
  const at::Tensor means = at::tensor({1., 2., 10., 20., 100., 200.}, at::kDouble).view({3, 2});
  EXPECT_TRUE(
      at::equal(sum_of_terms(read_latent_terms("0-1+2"), means), at::tensor({91., 182.}, at::kDouble)));
  EXPECT_TRUE(
      at::equal(sum_of_terms(read_latent_terms("-0-1-2"), means), at::tensor({-111., -222.}, at::kDouble)));
}

TEST(Line, LeadsFromOneEndToTheOther) {
  const at::Tensor a = at::arange(12, at::kFloat).view({2, 3, 2}), b = a * -3 + 1;
  const at::Tensor t = at::tensor({0.25, 1.}, at::kDouble);
  const at::Tensor points = on_line(a, b, t);
  EXPECT_TRUE(at::equal(points[0], a[0] * 0.75 + b[0] * 0.25));
  EXPECT_TRUE(at::equal(points[1], b[1]));
}

}  // namespace
}  // namespace ganymede
