#include "launch/cost.h"

#include "launch/snapshot.h"
#include "launch/step_digests.h"
#include "launch/text.h"

namespace ganymede {

MethodContext method_context(const RunOptions& options, Communicator& gradients, Communicator& batch_norm,
                             at::Device device) {
  return {.gradients = gradients,
          .batch_norm = batch_norm,
          .batch = options.train.batch,
          .accumulate = options.train.accumulate,
          .seed = static_cast<std::uint64_t>(options.train.seed),
          .reseed = 0,
          .dtype = options.train.dtype(),
          .activations = options.train.activations(),
          .device = device,
          .bucket_bytes = static_cast<std::int64_t>(options.train.bucket_mib * (1 << 20)),
          .shard_optimizer = options.train.shard_optimizer};
}

namespace {

/// What a dataset must hold.
std::string expected_data(const ImageSpec& spec) {
  std::string text =
      fmt::format("{:<16} images of {} x {} x {}", "data", spec.channels, spec.height, spec.width);
  if (spec.classes > 1) text += fmt::format(", {} classes", spec.classes);
  if (spec.sources == SourceImages::paired || spec.sources == SourceImages::unpaired)
    text += fmt::format(", {} sources of {} channels",
                        spec.sources == SourceImages::paired ? "paired" : "unpaired", spec.source_channels);
  if (spec.embedding > 0)
    text +=
        fmt::format(", {}embeddings of {} numbers",
                    spec.embedding_rows > 1 ? fmt::format("{} ", spec.embedding_rows) : "", spec.embedding);
  if (spec.tokens > 0) text += fmt::format(", {} tokens of a vocabulary of {}", spec.tokens, spec.vocabulary);
  return text + "\n";
}

/// What the ranks tell each other after each step.
std::string told_by_ranks(const RunOptions& options, Method& method) {
  if (options.train.chain_every == 0) return "  and one of under 200 bytes for losses and requests to stop\n";
  std::size_t tensors = 0;
  for (const Player* player : method.players()) tensors += player->weights(false).size() + player->buffers(false).size();
  return fmt::format("  and one of under {} for losses, requests to stop, and digests (chain.every)\n",
                     byte_text(static_cast<std::int64_t>(200 + StepDigests::count(tensors) * sizeof(double))));
}

/// The first of so many ranks, where what it would be given is looked at and nothing is sent.
class ImaginedRanks final : public Communicator {
 public:
  explicit ImaginedRanks(int size) : size_(size) {}
  int rank() const override { return 0; }
  int size() const override { return size_; }
  int local_rank() const override { return 0; }
  int local_size() const override { return size_; }
  const std::string& name() const override { return name_; }
  std::unique_ptr<Work> all_reduce(at::Tensor, Reduction) override { refuse(); }
  std::unique_ptr<Work> reduce_scatter(at::Tensor, at::Tensor) override { refuse(); }
  std::unique_ptr<Work> all_gather(at::Tensor, at::Tensor) override { refuse(); }
  std::unique_ptr<Work> broadcast(at::Tensor, int) override { refuse(); }
  void barrier() override { refuse(); }
  std::unique_ptr<Communicator> duplicate(const std::string&) override { refuse(); }

 private:
  [[noreturn]] static void refuse() { throw std::logic_error("a collective of imagined ranks"); }
  int size_;
  std::string name_ = "imagined";
};

}  // namespace

std::string dry_run_text(const RunOptions& options, int world_size) {
  const auto alone = make_single_communicator();
  ImaginedRanks ranks(world_size);
  MethodContext context = method_context(options, ranks, *alone);
  context.position =
      options.method->stages(options.train.batch).back().first;  // networks that grow: the largest
  const auto method = options.method->build(context);
  std::string text = options.schema.to_recipe() + "\n";
  text += expected_data(options.method->images());
  std::int64_t memory = 0;
  for (const Player* player : method->players()) {
    text +=
        fmt::format("{:<16} {:>14} parameters\n", player->name(), with_thousands(player->parameter_count()));
    memory += player->memory_bytes();
  }
  for (const auto& [name, tensor] : method->state()) memory += static_cast<std::int64_t>(tensor.nbytes());
  text += fmt::format(
      "memory           {} a rank for weights, gradients, {}moments, averages and buffers; activations come "
      "on "
      "top\n",
      byte_text(memory), options.train.shard_optimizer ? "its part of " : "");
  std::int64_t saved = 0;
  for (const auto& [name, tensor] : state_of(*method)) saved += static_cast<std::int64_t>(tensor.nbytes());
  text += fmt::format("checkpoint       {} on the disk, copied at its step into {} of host memory a rank\n",
                      byte_text(saved), byte_text((saved + world_size - 1) / world_size));
  text += fmt::format("a step on {} rank{}:\n", world_size, world_size == 1 ? "" : "s");
  for (const CollectiveCost& cost : method->costs_per_step(world_size))
    text += fmt::format("  {:<28} {:>6} {} of {} in all\n", cost.what, cost.count, cost.collectives,
                        byte_text(cost.bytes));
  return text + told_by_ranks(options, *method);
}

}  // namespace ganymede
