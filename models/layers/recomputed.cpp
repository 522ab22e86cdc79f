#include "models/layers/recomputed.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

namespace ganymede {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// A block as autograd's context can keep it. Autograd takes defined tensors only.
struct KeptBlock final : torch::CustomClassHolder {
  at::Tensor forward(at::TensorList defined) const {
    std::vector<at::Tensor> inputs(is_defined.size());
    std::size_t next = 0;
    for (std::size_t i = 0; i < inputs.size(); ++i)
      if (is_defined[i]) inputs[i] = defined[next++];
    return block(inputs);
  }
  BlockForward block;
  std::vector<bool> is_defined;  // of the block's inputs
};

class Recomputed final : public torch::autograd::Function<Recomputed> {
 public:
  static at::Tensor forward(AutogradContext* context, const c10::intrusive_ptr<KeptBlock>& kept,
                            at::TensorList inputs) {
    context->save_for_backward(inputs.vec());
    context->saved_data["kept"] = c10::IValue::make_capsule(kept);
    // Recorded, and let go of: without gradients layers may take ways that round otherwise.
    return recorded(*kept, detached(inputs)).detach();
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list inputs = detached(context->get_saved_variables());
    const auto kept = c10::static_intrusive_pointer_cast<KeptBlock>(context->saved_data["kept"].toCapsule());
    torch::autograd::backward({recorded(*kept, inputs)}, {gradients[0]});
    variable_list found{at::Tensor()};  // of the block
    for (const at::Tensor& input : inputs) found.push_back(input.grad());
    return found;
  }

 private:
  static variable_list detached(at::TensorList inputs) {
    variable_list leaves;
    for (const at::Tensor& input : inputs) leaves.push_back(input.detach().requires_grad_(input.requires_grad()));
    return leaves;
  }
  static at::Tensor recorded(const KeptBlock& block, const variable_list& inputs) {
    const at::AutoGradMode recording(true);
    return block.forward(inputs);
  }
};

}  // namespace

at::Tensor recomputed(BlockForward block, const std::vector<at::Tensor>& inputs) {
  if (!at::GradMode::is_enabled()) return block(inputs);
  const auto kept = c10::make_intrusive<KeptBlock>();
  kept->block = std::move(block);
  std::vector<at::Tensor> defined;
  for (const at::Tensor& input : inputs) {
    kept->is_defined.push_back(input.defined());
    if (input.defined()) defined.push_back(input);
  }
  TORCH_CHECK(std::ranges::any_of(defined, [](const at::Tensor& x) { return x.requires_grad(); }),
              "no input needs a gradient: those of the weights would be lost");
  return Recomputed::apply(kept, at::TensorList(defined));
}

}  // namespace ganymede
