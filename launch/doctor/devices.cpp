#include <fmt/ranges.h>

#include <map>

#include "launch/device.h"
#include "launch/doctor/checks.h"

namespace ganymede {

std::vector<std::vector<int>> sharing_ranks(std::span<const RankGpu> gpus) {
  std::map<std::string, std::vector<int>> by_gpu;
  for (std::size_t rank = 0; rank < gpus.size(); ++rank)
    if (!gpus[rank].identity.empty())
      by_gpu[gpus[rank].host + " " + gpus[rank].identity].push_back(static_cast<int>(rank));
  std::vector<std::vector<int>> sharing;
  for (auto& [gpu, ranks] : by_gpu)
    if (ranks.size() > 1) sharing.push_back(std::move(ranks));
  return sharing;
}

namespace {

/// Those of all ranks, in their order.
std::vector<RankGpu> gather_gpus(ExaminedJob& job, const RankGpu& own) {
  const std::vector<std::string> hosts = job.gather(own.host), identities = job.gather(own.identity);
  std::vector<RankGpu> gpus;
  for (std::size_t rank = 0; rank < hosts.size(); ++rank) gpus.push_back({hosts[rank], identities[rank]});
  return gpus;
}

}  // namespace

Verdict examine_devices(ExaminedJob& job) {
  const std::string& choice = job.request().device;
  if (choice == "cpu") return all_well("the CPU, by --device");
  RankGpu own;
  if (auto failed = job.failures_of([&] { own = own_gpu(job.process().world().local_rank()); }))
    return *failed;
  const std::vector<RankGpu> gpus = gather_gpus(job, own);
  std::vector<std::string> shared;
  for (const std::vector<int>& ranks : sharing_ranks(gpus)) shared.push_back(places_text(ranks, job.hosts()));
  if (!shared.empty() && !may_share_gpu()) {
    const std::string text = fmt::format(
        "one GPU for {}: a GPU takes one rank: start fewer ranks on each host (mpirun --map-by "
        "ppr:N:node; Slurm: --ntasks-per-node), or make more GPUs visible",
        fmt::join(shared, "; one for "));
    return choice == "cuda" ? failure(ExitCode::options, text) : warning(text + "; auto computes on the CPU");
  }
  const auto with = std::ranges::count_if(gpus, [](const RankGpu& gpu) { return !gpu.identity.empty(); });
  job.process().use_device(choice, "--device", /*deterministic=*/false);
  if (job.process().device().is_cuda()) return all_well(fmt::format("{} GPUs, one a rank", gpus.size()));
  if (with == 0) return all_well("the CPU: no rank sees a GPU");
  std::vector<int> without;
  for (std::size_t rank = 0; rank < gpus.size(); ++rank)
    if (gpus[rank].identity.empty()) without.push_back(static_cast<int>(rank));
  return warning(fmt::format("the CPU, for {} sees no GPU: look at nvidia-smi and CUDA_VISIBLE_DEVICES there",
                             places_text(without, job.hosts())));
}

}  // namespace ganymede
