#include "launch/loaded_run.h"

#include "launch/cost.h"
#include "launch/mixed_average.h"

namespace ganymede {

LoadedRun::LoadedRun(Process& process, const std::filesystem::path& run_or_checkpoint,
                     const std::string& device, const Settings& changes)
    : checkpoint_(find_checkpoint(process, run_or_checkpoint)) {
  process.together([&] {
    const Settings stored =
        parse_recipe(checkpoint_.manifest.header["options"].get<std::string>(), "checkpoint");
    options_.emplace(std::vector<Settings>{stored, changes});
    if (!changes.empty()) options_->method->check(options_->train.batch / options_->train.accumulate);
  });
  process.use_device(device, "--device", options_->train.deterministic);
  group_ = process.group("sampling");
  MethodContext context = method_context(*options_, *group_, *group_, process.device());
  context.shard_optimizer = false;  // nothing learns
  context.position = progress_of(checkpoint_.manifest).position;
  context.alive = [&process](std::string_view activity) { process.note(activity); };
  method_ = options_->method->build(context);
  restore(process, *method_, checkpoint_, *group_);
}

nlohmann::json LoadedRun::take_average(Process& process, double width) {
  const std::string made_of = process.from_root_slowly([&](const Process::Alive& alive) {
    const MixedAverage average = mixed_average(checkpoint_, width, [&] { alive("averages of weights"); });
    for (Player* player : method_->players())
      if (player->name() == average.player) copy_tensors(average.tensors, player->weights(false));
    fmt::print("{}\n", described(average, width));
    return nlohmann::json{{"sigma_rel", width},
                          {"averages", average.count},
                          {"checkpoints", average.checkpoints},
                          {"profile_error", average.error}}
        .dump();
  });
  for (Player* player : method_->players())
    for (const auto& [name, tensor] : player->weights(false)) group_->broadcast(tensor, 0)->wait();
  return nlohmann::json::parse(made_of);
}

}  // namespace ganymede
