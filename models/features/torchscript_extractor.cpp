#include "models/features/torchscript_extractor.h"

#include <ATen/ATen.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "models/features/piecewise_extractor.h"

namespace ganymede {
namespace {

std::string first_line(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  const std::string text = torch_error ? torch_error->what_without_backtrace() : error.what();
  return text.substr(0, text.find('\n'));
}

class Program {
 public:
  Program(const std::string& path, at::Device device) : path_(path) {
    guarded("cannot be loaded", [&] {
      module_ = torch::jit::load(path, device);
      module_.eval();
    });
    if (!knows("return_features"))
      fail(ExitCode::checkpoint,
           "{}: a TorchScript program whose forward takes no return_features: give one that follows NVIDIA's "
           "convention",
           path_);
  }

  bool knows(const std::string& word) const {
    const auto method = module_.find_method("forward");
    return method && method->function().getSchema().argumentIndexWithName(word).has_value();
  }

  /// [N, D], float32 in host memory.
  at::Tensor run(const at::Tensor& images, const char* word) {
    at::Tensor result;
    guarded("failed", [&] {
      result = module_.get_method("forward")({images}, {{word, true}}).toTensor().to(at::kCPU, at::kFloat);
    });
    if (result.dim() != 2 || result.size(0) != images.size(0))
      fail(ExitCode::checkpoint,
           "{}: the TorchScript program gave [{}] of {} images with {}=True, expected [N, D]", path_,
           fmt::join(result.sizes().vec(), ","), images.size(0), word);
    return result;
  }

 private:
  template <class Action>
  void guarded(const char* what, Action action) {
    try {
      action();
    } catch (const Error&) {
      throw;
    } catch (const std::exception& error) {
      fail(ExitCode::checkpoint, "{}: the TorchScript program {}: {}", path_, what, first_line(error));
    }
  }

  std::string path_;
  torch::jit::Module module_;
};

class TorchscriptExtractor final : public PiecewiseExtractor {
 public:
  TorchscriptExtractor(Program program, ExtractorDescription description, const FeatureRequest& offers,
                       bool gives_probabilities, at::Device device)
      : PiecewiseExtractor(std::move(description), offers, device),
        program_(std::move(program)),
        gives_probabilities_(gives_probabilities) {}

 private:
  Features compute(const at::Tensor& images, const FeatureRequest& request) override {
    const at::Tensor colour = images.expand({-1, 3, -1, -1}).contiguous().to(device());
    Features features;
    if (request.pool) features.pool = program_.run(colour, "return_features");
    if (request.logits) {
      features.logits = program_.run(colour, "no_output_bias");
      if (gives_probabilities_) features.logits.clamp_min_(1e-30).log_();
    }
    return features;
  }

  Program program_;
  bool gives_probabilities_;
};

bool are_probabilities(const at::Tensor& x) {
  return (x >= 0).all().item<bool>() && ((x.sum(1) - 1).abs() < 1e-3).all().item<bool>();
}

}  // namespace

std::unique_ptr<FeatureExtractor> make_torchscript_extractor(const ExtractorOptions& options) {
  if (!options.resize.empty() || options.bf16)
    fail(ExitCode::options,
         "{} is a TorchScript program, which resizes by itself and in fp32: give neither resize nor bf16",
         options.file);
  Program program(options.file, options.device);
  const at::NoGradGuard no_grad;
  const at::Tensor black = at::zeros({1, 3, 64, 64}, at::TensorOptions(at::kByte).device(options.device));
  const std::int64_t dimensions = program.run(black, "return_features").size(1);
  const bool has_logits = program.knows("no_output_bias");
  const bool probabilities = has_logits && are_probabilities(program.run(black, "no_output_bias"));
  return std::make_unique<TorchscriptExtractor>(
      std::move(program),
      ExtractorDescription{.name = "torchscript",
                           .origin = std::filesystem::path(options.file).filename(),
                           .digest = hex(digest_of_file(options.file)),
                           .resize = "the program's own",
                           .precision = "fp32",
                           .caveat = "the program in the file computed the features: what it does is its own",
                           .dimensions = dimensions},
      FeatureRequest{.pool = true, .spatial = false, .logits = has_logits}, probabilities, options.device);
}

}  // namespace ganymede
