#include "models/gan/losses/lsgan.h"

#include "core/error.h"

namespace ganymede {
namespace {

class LeastSquares final : public GanLoss {
  void describe(OptionSchema& schema) override {
    schema.add("lsgan.a", a_, "", {-1e3, 1e3}, "D's target for generated images");
    schema.add("lsgan.b", b_, "", {-1e3, 1e3}, "D's target for real images");
    schema.add("lsgan.c", c_, "", {-1e3, 1e3}, "G's target for D on generated images");
  }
  void check() const override {
    if (a_ == b_)
      fail(ExitCode::options, "lsgan.a = lsgan.b = {}: D must tell real from generated images", a_);
  }
  at::Tensor discriminator(const GanLogits& logits) const override {
    return (logits.real - b_).square() / 2 + (logits.fake - a_).square() / 2;
  }
  at::Tensor generator(const GanLogits& logits) const override { return (logits.fake - c_).square() / 2; }

 private:
  double a_ = 0, b_ = 1, c_ = 1;
};

}  // namespace

std::unique_ptr<GanLoss> make_lsgan() {
  return std::make_unique<LeastSquares>();
}

}  // namespace ganymede
