// flipped_bits DATASET OUT TIMES: under mpirun, trains so many times, and each time one bit of one rank's weights (the
// first time and every other one) or average flips at some step. Prints how many of these were found, with the right
// tensor and the right rank named; then lets the last one end the program as it ends a run.

#include <cstdio>
#include <random>

#include "datasets/image_dataset.h"
#include "launch/trainer.h"
#include "tests/launch/one_weight.h"

namespace ganymede {
namespace {

constexpr std::int64_t period = 5;

std::int64_t next_check(std::int64_t step) {
  return (step + period - 1) / period * period;
}

RunOptions options_of() {
  Settings all;
  for (const auto& [key, value] : {std::pair{"train.batch", "4"}, {"train.steps", "20"}, {"biggan.image_channels", "1"},
                                   {"sample.every", "0"}, {"checkpoint.every", "10"}, {"train.compare_every", "5"}})
    all[key] = {value, "test"};
  return RunOptions(std::vector<Settings>{all});
}

/// Of the tensors that each rank holds a copy of, those of one kind: "weight" or "ema".
NamedTensors tensors_of(const Player& player, const std::string& kind) {
  NamedTensors found;
  for (const auto& [name, tensor] : player.state())
    if (name.find("/" + kind + "/") != name.npos) found.emplace_back(name, tensor);
  return found;
}

void flip(const at::Tensor& tensor, std::int64_t bit) {
  at::Tensor bytes = tensor.flatten().view(at::kByte);
  bytes[bit / 8].bitwise_xor_(1 << bit % 8);
}

ExitCode flip_and_train(Process& process, const std::filesystem::path& data, const std::filesystem::path& out,
                        int times) {
  const RunOptions options = options_of();
  const auto dataset = ImageDataset::attach(ImageDataset::inspect({data}));
  std::mt19937 draw(11);  // the same numbers on all ranks
  int found = 0, in_average = 0, at_once = 0, told = 0, named = 0;
  std::optional<ReplicasDiffer> last;
  for (int i = 0; i < times; ++i) {
    const int victim = static_cast<int>(draw() % static_cast<unsigned>(process.size()));
    const bool of_average = i % 2 == 1;
    OptimizerOptions with_average;
    with_average.ema = 0.9;
    OneWeight method(process.world(), /*scale_loss=*/false, with_average, /*tensors=*/3);
    const NamedTensors tensors = tensors_of(*method.players().front(), of_average ? "ema" : "weight");
    const auto& [name, tensor] = tensors[draw() % tensors.size()];
    const auto bit = static_cast<std::int64_t>(draw() % static_cast<unsigned>(32 * tensor.numel()));
    auto step = static_cast<std::int64_t>(1 + draw() % 20);
    // The rounding of later updates may undo what the last bits make of a number, most of all of an average that grows.
    if (bit % 32 < (of_average ? 8 : 4)) step = next_check(step);
    method.after = [&](std::int64_t now) {
      if (now == step && process.rank() == victim) flip(tensor, bit);
    };
    std::optional<RunFolder> folder;
    const auto run = out / std::to_string(i);
    if (process.is_root()) folder.emplace(run);
    Trainer trainer({process, options, dataset, method, folder ? &*folder : nullptr, run, {}});
    try {
      trainer.run({});
    } catch (const ReplicasDiffer& error) {
      last = error;
      const std::string text = error.what();
      ++found;
      in_average += of_average;
      told += text.find(", " + name) != text.npos;
      at_once += text.starts_with(fmt::format("at step {} ", next_check(step)));
      named += text.find(fmt::format(" rank {} is not as", victim)) != text.npos;
    }
  }
  if (process.is_root())
    std::printf("%d of %d found (%d in the average), %d at the next check, %d with the tensor, %d with the rank "
                "named\n",
                found, times, in_average, at_once, told, named);
  if (last) throw *last;
  return ExitCode::done;
}

}  // namespace
}  // namespace ganymede

int main(int, char** argv) {
  return ganymede::run_as_rank([&](ganymede::Process& process) {
    return ganymede::flip_and_train(process, argv[1], argv[2], std::stoi(argv[3]));
  });
}
