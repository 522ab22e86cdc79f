#include "launch/drill/requeue.h"

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/files.h"
#include "core/strict_json.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

constexpr const char* record_name = "drill.json";
constexpr std::int64_t longest_record = 1 << 20;

std::int64_t restarts() {
  const char* count = std::getenv("SLURM_RESTART_COUNT");
  return count ? std::atoll(count) : 0;
}

}  // namespace

std::optional<DrillRecord> read_record(const fs::path& folder) {
  const fs::path path = folder / record_name;
  if (!size_of_file(path)) return std::nullopt;
  try {
    const nlohmann::json json =
        parse_strictly(read_text_file(path, longest_record), ExitCode::checkpoint, path.string());
    return DrillRecord{json.at("lines"), static_cast<ExitCode>(json.at("code").get<int>()),
                       json.at("restarts")};
  } catch (const nlohmann::json::exception&) {
    fail(ExitCode::checkpoint, "{} is no record of a drill: give another --out", path.string());
  }
}

void forget_record(const fs::path& folder) {
  std::error_code ignored;
  fs::remove(folder / record_name, ignored);
}

std::string no_requeue_because(bool asked_for) {
  if (!std::getenv("SLURM_JOB_ID"))
    return "this is no Slurm job: run ganymede drill --requeue in a batch script";
  if (!asked_for)
    return "give --requeue to allow it: this job goes back into the queue, and its next start tells how that "
           "went";
  if (std::system("command -v scontrol >/dev/null 2>&1") != 0) return "there is no scontrol here";
  return "";
}

Verdict requeue(const fs::path& folder, DrillRecord record, std::chrono::seconds patience) {
  record.restarts = restarts();
  write_file_durably(folder / record_name, json_text({{"lines", record.lines},
                                                      {"code", static_cast<int>(record.code)},
                                                      {"restarts", record.restarts}}));
  const int status = std::system("scontrol requeue \"$SLURM_JOB_ID\"");
  if (status == 0) std::this_thread::sleep_for(patience);
  forget_record(folder);
  if (status != 0)
    return failure(ExitCode::peer,
                   "scontrol requeue was refused: submit the job with --requeue, as a batch script (sbatch)");
  return failure(
      ExitCode::hang,
      fmt::format(
          "scontrol requeue was taken, but this job was not ended within {} s: see what scontrol show job {} "
          "says, and that KillWait in slurm.conf is shorter; then scancel the job and submit it anew",
          patience.count(), std::getenv("SLURM_JOB_ID")));
}

Verdict after_requeue(const DrillRecord& record) {
  if (restarts() > record.restarts)
    return all_well(
        fmt::format("this job went back into the queue, and this is its start {}", restarts() + 1));
  return failure(
      ExitCode::peer,
      fmt::format(
          "Slurm counts {} restarts, as before: the job did not come back, or another one goes on with "
          "its folder: submit the drill with --requeue, as a batch script (sbatch), and with an --out of its "
          "own",
          restarts()));
}

}  // namespace ganymede
