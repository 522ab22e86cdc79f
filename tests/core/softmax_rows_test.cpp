#include "core/kernels/cpu/softmax_rows.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/philox.h"

namespace ganymede {
namespace {

at::Tensor draw(at::IntArrayRef shape) {
  return RandomStream({.seed = 2, .phase = "softmax", .stream = "x"})
      .normal(0, 1, c10::multiply_integers(shape), at::kDouble)[0]
      .view(shape);
}

TEST(SoftmaxRows, AreTorchs) {
  for (const auto& [type, bound] :
       {std::pair{at::kDouble, 1e-15}, {at::kFloat, 3e-7}, {at::kBFloat16, 3e-3}, {at::kHalf, 5e-4}})
    for (const std::int64_t width : {1, 5, 16, 17, 64, 1000}) {
      SCOPED_TRACE(fmt::format("{}, {}", c10::toString(type), width));
      at::Tensor x = (draw({3, 70, width}) * 5).to(type);
      const at::Tensor exact = at::softmax(x.to(at::kDouble), -1);
      cpu::softmax_rows(x);
      EXPECT_EQ(x.scalar_type(), type);
      EXPECT_LT(((x.to(at::kDouble) - exact).norm() / exact.norm()).item<double>(), bound);
    }
}

TEST(SoftmaxRows, LargeNumbersAndNanPass) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  at::Tensor x = at::zeros({4, 20});
  x[0][3] = 1e30;
  x[1][19] = -infinity;
  x[2][17] = std::nan("");
  x[3].fill_(-1e30);
  cpu::softmax_rows(x);
  EXPECT_EQ(x[0][3].item<float>(), 1);
  EXPECT_EQ(x[0][4].item<float>(), 0);
  EXPECT_NEAR(x[1][0].item<float>(), 1.0 / 19, 1e-7);
  EXPECT_EQ(x[1][19].item<float>(), 0);
  EXPECT_TRUE(x[2].isnan().all().item<bool>());
  EXPECT_NEAR(x[3][7].item<float>(), 0.05, 1e-7);
}

TEST(SoftmaxRows, RefuseWhatIsNotDense) {
  at::Tensor x = at::zeros({4, 20}).t();
  EXPECT_THROW(cpu::softmax_rows(x), c10::Error);
}

}  // namespace
}  // namespace ganymede
