#include "models/gan/regularisers/lecam.h"

namespace ganymede {

void LeCamOptions::describe(OptionSchema& schema) {
  schema.add("gan.lecam", weight, "", {0, 1e6}, "weight of D's LeCam regulariser, 0 for none");
  schema.add("gan.lecam_decay", decay, "", {0, 0.999999}, "decay of its averages of D's logits");
  schema.add("gan.lecam_start", start, "updates", {1, 1e9}, "D's updates before it begins");
}

at::Tensor LeCam::penalty(const at::Tensor& real_logits, const at::Tensor& fake_logits) const {
  const at::Tensor anchors = anchors_.to(real_logits.scalar_type());
  return options_.weight * ((real_logits - anchors[1]).square() + (fake_logits - anchors[0]).square());
}

void LeCam::advance(std::int64_t update, const at::Tensor& means) {
  anchors_.lerp_(means, update < options_.start ? 1 : 1 - options_.decay);
}

}  // namespace ganymede
