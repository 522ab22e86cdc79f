#include "models/gan/networks/dcgan.h"

#include <ATen/ATen.h>

#include <bit>

#include "core/error.h"
#include "models/layers/latent.h"

namespace ganymede {
namespace {

BatchNormOptions norm_of(const DcganOptions& options, Activation activation) {
  return {.eps = options.batch_norm_eps, .activation = activation};
}

/// x [N, D, ...] with the one-hot label of so many numbers beside it, at every position.
at::Tensor joined(const at::Tensor& x, const at::Tensor& labels, std::int64_t condition) {
  if (condition == 0) return x;
  at::Tensor label = at::one_hot(labels, condition).to(x.scalar_type());
  if (x.dim() == 4) label = label.view({-1, condition, 1, 1}).expand({-1, -1, x.size(2), x.size(3)});
  return at::cat({x, label}, 1);
}

at::Tensor compressed(Linear& text, const at::Tensor& embeddings) {
  return at::leaky_relu(text.forward(embeddings), 0.2);
}

}  // namespace

std::int64_t DcganOptions::doublings() const {
  return std::countr_zero(static_cast<std::uint64_t>(resolution)) - 2;
}

DcganGenerator::Norm DcganGenerator::add_norm(const std::string& name, std::int64_t channels) {
  const BatchNormOptions options = norm_of(options_, Activation::relu);
  if (options_.virtual_norm())
    return {.of_reference = register_module(name, std::make_shared<VirtualBatchNorm>(channels, options))};
  return {.of_batch = register_module(name, std::make_shared<AffineBatchNorm>(channels, options))};
}

at::Tensor DcganGenerator::normalised(const Norm& norm, const at::Tensor& h,
                                      const ForwardContext& context) const {
  if (norm.of_batch) return norm.of_batch->forward(h, context);
  return norm.of_reference ? norm.of_reference->forward(h, references()) : h;
}

DcganGenerator::DcganGenerator(const DcganOptions& options) : options_(options) {
  const bool counted = options.counted();
  // A bias in front of a batch norm does nothing: the paper variant has none.
  const WeightOptions weights{.bias = counted};
  const std::int64_t steps = options.doublings() - (counted ? 0 : 1);
  std::int64_t width = options.generator_channels << steps;
  if (options.text())
    text_ = register_module(
        "text", std::make_shared<Linear>(options.embedding, options.text_compressed, WeightOptions{}));
  if (options.virtual_norm())
    reference_ = register_module("reference",
                                 std::make_shared<ReferenceBatch>(options.reference_batch, options.latent));
  linear_ = register_module("linear", std::make_shared<Linear>(options.latent + options.generator_condition(),
                                                               width * 16, weights));
  if (!counted) norm_ = add_norm("norm", width);
  for (std::int64_t i = 0; i < steps; ++i, width /= 2) {
    convs_.push_back(register_module(
        fmt::format("conv{}", i),
        std::make_shared<TransposedConv2d>(width, width / 2, options.strided_kernel(), weights)));
    norms_.push_back(add_norm(fmt::format("norm{}", i), width / 2));
  }
  if (counted)
    to_image_ = register_module("to_image",
                                std::make_shared<Conv2d>(width, options.image_channels, 3, WeightOptions{}));
  else
    to_image_strided_ = register_module(
        "to_image",
        std::make_shared<TransposedConv2d>(width, options.image_channels, options.kernel, WeightOptions{}));
}

at::Tensor DcganGenerator::told(const at::Tensor& z, const at::Tensor& labels) const {
  const at::Tensor latent = options_.latent_distribution == "uniform" ? uniform_of_normal(z) : z;
  return text_ ? at::cat({latent, compressed(*text_, labels)}, 1)
               : joined(latent, labels, options_.generator_condition());
}

at::Tensor DcganGenerator::forward(const at::Tensor& z, const at::Tensor& labels,
                                   const ForwardContext& context) {
  at::Tensor latent = told(z, labels);
  if (reference_)  // its images have all classes in turn
    latent = at::cat(
        {told(reference_->z(), at::arange(references(), labels.options()) % options_.classes), latent});
  at::Tensor h = context.as_map(linear_->forward(latent).view({latent.size(0), -1, 4, 4}));
  h = normalised(norm_, h, context);
  for (std::size_t i = 0; i < convs_.size(); ++i) h = normalised(norms_[i], convs_[i]->forward(h), context);
  h = h.slice(0, references());
  h = to_image_ ? to_image_->forward(h) : to_image_strided_->forward(h);
  return at::tanh(h.to(z.scalar_type()));
}

DcganDiscriminator::Stage DcganDiscriminator::made(const std::string& name, Stage stage,
                                                   std::int64_t channels, bool norm) {
  if (stage.plain) register_module("conv" + name, stage.plain);
  if (stage.strided) register_module("conv" + name, stage.strided);
  if (norm && options_.discriminator_norm == "batch") {
    const Activation activation = options_.counted() ? Activation::relu : Activation::none;
    stage.of_batch = register_module(
        "norm" + name, std::make_shared<AffineBatchNorm>(channels, norm_of(options_, activation)));
  } else if (norm) {
    stage.of_image = make_image_norm(channels, options_.image_norm());
    if (stage.of_image) register_module("norm" + name, stage.of_image);
  }
  return stage;
}

at::Tensor DcganDiscriminator::run(const Stage& stage, const at::Tensor& x,
                                   const ForwardContext& context) const {
  at::Tensor h = stage.plain ? stage.plain->forward(x) : stage.strided->forward(x);
  if (stage.of_batch) h = stage.of_batch->forward(h, context);
  if (stage.of_image) h = stage.of_image->forward(h);
  if (!options_.counted()) return at::leaky_relu(h, 0.2);
  return stage.of_batch ? h : at::relu(h);  // batch norm has it
}

DcganDiscriminator::DcganDiscriminator(const DcganOptions& options) : options_(options) {
  const bool counted = options.counted();
  const bool unnormalised = options.discriminator_norm == "none";
  const std::int64_t kernel = options.strided_kernel();
  std::int64_t in = options.image_channels + options.discriminator_condition();
  for (std::int64_t i = 0; i < options.doublings(); ++i) {
    const std::int64_t out = options.discriminator_channels << i;
    if (counted) {
      stages_.push_back(made(fmt::format("{}a", i),
                             {.plain = std::make_shared<Conv2d>(in, out, 3, WeightOptions{})}, out, true));
      stages_.push_back(made(fmt::format("{}b", i),
                             {.strided = std::make_shared<StridedConv2d>(out, out, kernel, WeightOptions{})},
                             out, true));
    } else {
      stages_.push_back(made(fmt::format("{}", i),
                             {.strided = std::make_shared<StridedConv2d>(
                                  in, out, kernel, WeightOptions{.bias = i == 0 || unnormalised})},
                             out, i > 0));
    }
    in = out;
  }
  if (counted) {
    stages_.push_back(
        made("_last", {.plain = std::make_shared<Conv2d>(in, in * 2, 3, WeightOptions{})}, in * 2, true));
    in *= 2;
  }
  if (options.text()) {
    text_ = register_module(
        "text", std::make_shared<Linear>(options.embedding, options.text_compressed, WeightOptions{}));
    text_stage_ = made("_text",
                       {.plain = std::make_shared<Conv2d>(in + options.text_compressed, in, 1,
                                                          WeightOptions{.bias = counted || unnormalised})},
                       in, true);
  }
  if (options.minibatch_kernels > 0)
    minibatch_ = register_module("minibatch", std::make_shared<MinibatchDiscrimination>(
                                                  options.last_map(), options.minibatch_kernels,
                                                  options.minibatch_width, options.minibatch_group));
  linear_ = register_module("linear", std::make_shared<Linear>(options.features(), 1, WeightOptions{}));
}

at::Tensor DcganDiscriminator::forward(const at::Tensor& x, const at::Tensor& labels,
                                       const ForwardContext& context) {
  at::Tensor h = context.as_map(joined(x, labels, options_.discriminator_condition()));
  for (const Stage& stage : stages_) h = run(stage, h, context);
  if (text_) {
    const at::Tensor text = compressed(*text_, labels).to(h.scalar_type());
    h = at::cat({h, text.view({h.size(0), -1, 1, 1}).expand({-1, -1, h.size(2), h.size(3)})}, 1);
    h = run(text_stage_, h.contiguous(at::MemoryFormat::ChannelsLast), context);
  }
  const at::ScalarType type = linear_->weight().scalar_type();
  h = options_.counted() ? h.sum({2, 3}, /*keepdim=*/false, type) : h.to(type).contiguous().flatten(1);
  if (minibatch_) h = minibatch_->forward(h, context);
  context.keep_features(h);
  return linear_->forward(h).squeeze(1);
}

std::vector<Exchange> DcganDiscriminator::exchanges(const GroupLayout& layout, int ranks) const {
  std::vector<Exchange> all = Network::exchanges(layout, ranks);
  if (minibatch_)
    for (const Exchange& exchange : minibatch_->exchanges(layout, ranks)) all.push_back(exchange);
  return all;
}

std::int64_t DcganOptions::features() const {
  return last_map() + minibatch_kernels;
}

std::int64_t DcganOptions::last_map() const {
  return (discriminator_channels << (doublings() - 1)) * (counted() ? 2 : 16);
}

void DcganOptions::describe(OptionSchema& schema) {
  schema.add("text.embedding", embedding, "", {1, 1 << 20}, "numbers of an embedding");
  schema.add("text.compressed", text_compressed, "", {1, 1 << 16},
             "numbers that each network makes of an embedding by a linear map");
  schema.add("dcgan.variant", variant, {"paper", "counted"},
             "the paper's networks, or PyTorch-StudioGAN's of the same name");
  schema.add("dcgan.resolution", resolution, "pixels", {8, 512}, "width and height: a power of two");
  schema.add("dcgan.image_channels", image_channels, "", {1, 64}, "channels of an image");
  schema.add("dcgan.classes", classes, "", {1, 1e6}, "number of classes; 1 for an unlabelled dataset");
  schema.add(
      "dcgan.conditioning", conditioning, {"none", "concatenation", "generator", "text"},
      "none: labels are not looked at; concatenation: one-hot beside z and, as maps, beside D's image; "
      "generator: beside z alone; text: the dataset's embeddings beside z and D's last map");
  schema.add("dcgan.generator_channels", generator_channels, "", {1, 4096},
             "channels of G's largest map; each half as large one has twice as many");
  schema.add("dcgan.discriminator_channels", discriminator_channels, "", {1, 4096},
             "channels of D's first block; each further one has twice as many");
  schema.add("dcgan.latent", latent, "", {1, 4096}, "width of z");
  schema.add("dcgan.latent_distribution", latent_distribution, {"uniform", "normal"},
             "z uniform in (-1, 1) or standard normal");
  schema.add("dcgan.kernel", kernel, "pixels", {4, 5}, "kernel of the paper variant's convolutions");
  schema.add("dcgan.init", init, {"orthogonal", "n02", "xavier"}, "how weights begin");
  schema.add("dcgan.batch_norm_eps", batch_norm_eps, "", {1e-12, 1}, "epsilon in batch norm");
  schema.add("dcgan.generator_norm", generator_norm, {"batch", "virtual"},
             "G's norm: by the batch's statistics, or by those of a reference batch that is drawn once");
  schema.add("dcgan.discriminator_norm", discriminator_norm, {"batch", "layer", "instance", "group", "none"},
             "D's norm: batch ties the images of a batch together, the others look at one image each");
  schema.add("dcgan.norm_groups", norm_groups, "", {1, 4096}, "groups of channels of D's group norm");
  schema.add("dcgan.reference_batch", reference_batch, "images", {1, 1e6},
             "reference batch of the virtual norm");
  schema.add("dcgan.minibatch_kernels", minibatch_kernels, "", {0, 1e4},
             "kernels of minibatch discrimination before D's last layer, 0 for none");
  schema.add("dcgan.minibatch_width", minibatch_width, "", {1, 1e4}, "numbers a kernel compares");
  schema.add("dcgan.minibatch_group", minibatch_group, "images", {0, 1e9},
             "consecutive images of a micro-batch that are compared, 0 for all");
}

namespace {

class Dcgan final : public GanNetworks {
 public:
  void describe(OptionSchema& schema) override { options_.describe(schema); }
  void check() const override {
    if (!std::has_single_bit(static_cast<std::uint64_t>(options_.resolution)))
      fail(ExitCode::options, "dcgan.resolution = {}: give a power of two", options_.resolution);
    check_text();
    // That of the first map that has it; the others have a multiple.
    check_image_norm(options_.discriminator_channels * (options_.counted() ? 1 : 2), options_.image_norm(),
                     "dcgan.norm_groups");
  }
  void check_batch(std::int64_t micro_batch) const override {
    if (options_.minibatch_kernels > 0 && options_.minibatch_group > 0 &&
        micro_batch % options_.minibatch_group != 0)
      fail(ExitCode::options,
           "dcgan.minibatch_group = {} does not divide the micro-batch of {} images: give one of its divisors, or 0",
           options_.minibatch_group, micro_batch);
  }
  std::shared_ptr<Generator> generator() const override { return std::make_shared<DcganGenerator>(options_); }
  std::shared_ptr<Discriminator> discriminator() const override {
    return std::make_shared<DcganDiscriminator>(options_);
  }
  std::string initialisation() const override { return options_.init; }
  std::int64_t feature_size() const override { return options_.features(); }
  std::string setting_without_batch_norm() const override {
    return options_.discriminator_norm == "batch" ? "dcgan.discriminator_norm = layer" : "";
  }
  GanConditioning conditioning() const override {
    return {!options_.text() && options_.generator_condition() > 0, options_.discriminator_condition() > 0};
  }
  std::string setting_for_plain_latent() const override {
    if (options_.generator_norm == "virtual")
      return "dcgan.generator_norm = batch";  // its reference z is normal
    return options_.latent_distribution == "normal" ? "" : "dcgan.latent_distribution = normal";
  }
  ImageSpec images() const override {
    ImageSpec spec{options_.image_channels, options_.resolution, options_.resolution, options_.classes};
    if (options_.text()) spec.embedding = options_.embedding;
    return spec;
  }

 private:
  void check_text() const {
    if (options_.text() && options_.generator_norm == "virtual")
      fail(ExitCode::options,
           "dcgan.generator_norm = virtual with dcgan.conditioning = text: its reference batch has no texts; leave one "
           "of them out");
  }

  DcganOptions options_;
};

}  // namespace

std::unique_ptr<GanNetworks> make_dcgan() {
  return std::make_unique<Dcgan>();
}

}  // namespace ganymede
