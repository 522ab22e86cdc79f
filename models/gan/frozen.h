#pragma once

#include <torch/nn/module.h>

namespace ganymede {

/// While it lives a network does not learn: its weights' gradients are not computed. For D in G's phase.
class Frozen {
 public:
  explicit Frozen(torch::nn::Module& network) : network_(network) { set(false); }
  ~Frozen() { set(true); }
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;

 private:
  void set(bool learns) {
    for (auto& parameter : network_.parameters()) parameter.requires_grad_(learns);
  }
  torch::nn::Module& network_;
};

}  // namespace ganymede
