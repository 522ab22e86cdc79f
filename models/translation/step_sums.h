#pragma once

#include "models/method.h"

namespace ganymede {

/// This rank's part of a step's figures, summed over micro-batches on the device: a step waits for none of them.
class StepSums {
 public:
  void add(const std::string& name, const at::Tensor& part) {
    const at::Tensor figure = part.detach().to(at::kDouble);
    for (auto& [known, sum] : report_)
      if (known == name) {
        sum = sum + figure;
        return;
      }
    report_.emplace_back(name, figure);
  }
  const StepReport& report() const { return report_; }

 private:
  StepReport report_;
};

}  // namespace ganymede
