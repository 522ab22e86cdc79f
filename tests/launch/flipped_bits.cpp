// flipped_bits DATASET OUT TIMES: under mpirun, trains so many times, and each time one bit of one rank's weights or
// average flips at some step. Prints how many of these were found, and by whom the error was laid at the right rank's
// door; then lets the last one end the program as it ends a run.

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

void flip(const at::Tensor& tensor, std::int64_t bit) {
  at::Tensor bytes = tensor.flatten().view(at::kByte);
  bytes[bit / 8].bitwise_xor_(1 << bit % 8);
}

ExitCode flip_and_train(Process& process, const std::filesystem::path& data, const std::filesystem::path& out,
                        int times) {
  const RunOptions options = options_of();
  const auto dataset = ImageDataset::attach(ImageDataset::inspect({data}));
  std::mt19937 draw(11);  // the same numbers on all ranks
  int found = 0, at_once = 0, named = 0;
  std::optional<ReplicasDiffer> last;
  for (int i = 0; i < times; ++i) {
    const int victim = static_cast<int>(draw() % static_cast<unsigned>(process.size()));
    const auto bit = static_cast<std::int64_t>(draw() % 96);
    auto step = static_cast<std::int64_t>(1 + draw() % 20);
    // The rounding of later updates may undo what the last bits of a weight make of it.
    if (bit % 32 < 4) step = next_check(step);
    OneWeight method(process.world(), /*scale_loss=*/false);
    method.after = [&](std::int64_t now) {
      if (now == step && process.rank() == victim) flip(method.players().front()->weights(false).front().second, bit);
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
      at_once += text.starts_with(fmt::format("at step {} ", next_check(step)));
      named += text.find(fmt::format(" rank {} is not as", victim)) != text.npos;
    }
  }
  if (process.is_root())
    std::printf("%d of %d found, %d at the next check, %d with the rank named\n", found, times, at_once, named);
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
