#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <vector>

namespace ganymede {

/// Modules of one kind, named "0", "1", ... within their parent: "<list>.0.weight". Holds no null.
template <class M>
class ModuleList : public torch::nn::Module {
 public:
  const std::shared_ptr<M>& add(std::shared_ptr<M> module) {
    items_.push_back(register_module(std::to_string(items_.size()), std::move(module)));
    return items_.back();
  }
  bool empty() const { return items_.empty(); }
  std::size_t size() const { return items_.size(); }
  M& operator[](std::size_t i) const { return *items_.at(i); }
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }

 private:
  std::vector<std::shared_ptr<M>> items_;
};

}  // namespace ganymede
