#include "launch/checkpoint_saver.h"

#include <ATen/Parallel.h>
#include <unistd.h>

#include <ctime>
#include <thread>

#include "core/host_name.h"
#include "core/trace_range.h"
namespace ganymede {
namespace {

constexpr std::chrono::milliseconds look_every{20};

/// What came of a rank's work.
struct Outcome {
  ExitCode code = ExitCode::done;
  std::string host, text;  ///< the work's own, or what it failed of

  bool is_failure() const { return code != ExitCode::done; }
  /// Words that travel.
  std::string packed() const { return fmt::format("{} {} {}", static_cast<int>(code), host, text); }
  static Outcome unpack(const std::string& packed) {
    const auto first = packed.find(' '), second = packed.find(' ', first + 1);
    return {static_cast<ExitCode>(std::stoi(packed)), packed.substr(first + 1, second - first - 1),
            packed.substr(second + 1)};
  }
  static Outcome of(const BackgroundWork& work) {
    try {
      return {ExitCode::done, host_name(), work.result()};
    } catch (const std::exception& caught) {
      const Error error = as_error(caught);
      return {error.code(), host_name(), error.what()};
    }
  }
};

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

nlohmann::json header_of(const Process& process, Method& method, const RunProgress& progress,
                         nlohmann::json header) {
  header["position"] = progress.position;
  header["reseed"] = progress.reseed;
  header["collapse"] = {progress.collapse.sound_step, progress.collapse.low_looks};
  header["ranks"] = process.size();
  header["threads"] = at::get_num_threads();
  for (const Player* player : method.players()) {
    header["updates"][player->name()] = player->updates();
    for (const auto& bucket : player->reducer().buckets())
      header["buckets"][player->name()].push_back({bucket.offset, bucket.count});
  }
  return header;
}

/// Removes old checkpoints. The new one is there whatever comes of it: returns what to warn of, or "".
std::string retain_quietly(const CheckpointStore& store, std::int64_t step) {
  try {
    store.retain(step);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

void warn(const std::string& text) {
  if (!text.empty()) print_error("warning: " + text);
}

}  // namespace

CheckpointSaver::CheckpointSaver(Process& process, std::filesystem::path folder, const SaverOptions& options)
    : process_(process),
      options_(options),
      store_(std::move(folder), options.keep, options.keep_every),
      nonce_(process.from_root([] { return fmt::format("{}-{}", getpid(), std::time(nullptr)); })) {}

CheckpointSaver::~CheckpointSaver() = default;

void CheckpointSaver::begin_from(std::int64_t step, std::optional<std::int64_t> best) {
  saved_step_ = step;
  protect(best);
  process_.together([&] {
    if (process_.is_root()) store_.clear_leftovers({});
  });
}

void CheckpointSaver::begin(Method& method, const RunProgress& progress, nlohmann::json header) {
  finish();
  const TraceRange range("copy state");
  const Clock::time_point began = Clock::now();
  const int rank = process_.rank(), size = process_.size();
  step_ = progress.step;
  header_ = header_of(process_, method, progress, std::move(header));
  layout_ = lay_out(state_of(method), size);
  phase_ = Phase::writing;
  const NamedTensors parts = shard_of(method, layout_, rank);
  HostCopy::Copied copied;
  std::exception_ptr failure;
  try {
    copied = copy_.take(parts);
  } catch (const std::exception&) {
    failure = std::current_exception();  // which ranks learn of as of any other
  }
  copy_seconds_ = seconds_since(began);
  work_ = std::make_unique<BackgroundWork>(
      [=, copied = std::move(copied), store = store_, step = step_, nonce = nonce_](const auto& tick) -> std::string {
        if (failure) std::rethrow_exception(failure);
        for (; !copied.is_there(); tick()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        const Clock::time_point copied_at = Clock::now();
        const std::filesystem::path temporary = store.begin(step, nonce);
        if (rank == 0) store.clear_leftovers(temporary);
        const FileRecord record = write_shard(temporary, copied.tensors, rank, size, tick);
        return nlohmann::json{{"record", record}, {"seconds", seconds_since(copied_at)}}.dump();
      });
}

void CheckpointSaver::advance() {
  if (phase_ == Phase::writing)
    end_writing();
  else if (phase_ == Phase::publishing)
    end_publishing();
}

void CheckpointSaver::end_writing() {
  const auto outcomes = process_.world().gather_texts(Outcome::of(*work_).packed());
  work_.reset();
  std::vector<FileRecord> shards;
  SaveCost cost{.step = step_, .copy_seconds = copy_seconds_};
  for (int r = 0; r < process_.size(); ++r) {
    const Outcome outcome = Outcome::unpack(outcomes[static_cast<std::size_t>(r)]);
    if (outcome.is_failure()) return fail_save(r, outcome.code, outcome.host, outcome.text);
    const nlohmann::json written = nlohmann::json::parse(outcome.text);
    shards.push_back(written.at("record").get<FileRecord>());
    cost.bytes += shards.back().size;
    cost.write_seconds = std::max(cost.write_seconds, written.at("seconds").get<double>());
  }
  cost_ = cost;
  phase_ = Phase::publishing;
  if (!process_.is_root()) return;
  work_ = std::make_unique<BackgroundWork>([store = store_, step = step_, temporary = store_.temporary(step_, nonce_),
                                            header = std::move(header_), layout = std::move(layout_),
                                            shards = std::move(shards)](const auto&) {
    store.publish(temporary, step, header, layout, shards);
    return retain_quietly(store, step);
  });
}

void CheckpointSaver::end_publishing() {
  const Outcome outcome = Outcome::unpack(
      process_.world().broadcast_text(process_.is_root() ? Outcome::of(*work_).packed() : "", 0));
  work_.reset();
  if (outcome.is_failure()) return fail_save(0, outcome.code, outcome.host, outcome.text);
  phase_ = Phase::idle;
  saved_step_ = step_;
  process_.saved(step_);
  failures_ = 0;
  if (process_.is_root()) warn(outcome.text);
}

void CheckpointSaver::fail_save(int rank, ExitCode code, const std::string& host, const std::string& cause) {
  phase_ = Phase::idle;
  // Every rank's thread has ended: nobody writes there any more.
  if (process_.is_root()) discard(store_.temporary(step_, nonce_));
  if (best_ == step_) protect(best_before_);
  ++failures_;
  retry_at_ = Clock::now() +
              std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options_.retry_seconds));
  const std::string last = saved_step_ >= 0 ? fmt::format("the last checkpoint is of step {}", saved_step_)
                                            : "there is no checkpoint yet";
  if (code != ExitCode::storage || failures_ >= options_.failures)
    throw AgreedError(code,
                      fmt::format("{} (saving step {}, failure {} of {} in succession; {})", cause, step_, failures_,
                                  options_.failures, last),
                      rank == process_.rank(), /*is_local=*/true);
  if (process_.is_root())
    print_error(fmt::format(
        "warning: step {} was not saved, failure {} of {} in succession: rank {} on {}: {}; {}, and the next attempt "
        "comes in {:g} s",
        step_, failures_, options_.failures, rank, host, cause, last, options_.retry_seconds));
}

void CheckpointSaver::finish() {
  while (is_saving()) {
    wait_for_work();
    advance();
  }
}

void CheckpointSaver::wait_for_work() {
  if (!is_busy()) return;
  process_.note("waiting for the disk");
  for (std::uint64_t ticks = work_->ticks(); is_busy(); work_->wait_for(look_every))
    if (work_->ticks() != std::exchange(ticks, work_->ticks())) process_.note("writing a checkpoint");
}

bool CheckpointSaver::retry_is_due() const {
  return must_retry() && !is_saving() && Clock::now() >= retry_at_;
}

void CheckpointSaver::wait_for_retry() {
  // The ranks' clocks started together; those who come first wait for the others in the next save.
  for (; !retry_is_due(); std::this_thread::sleep_for(look_every)) process_.note("waiting to save again");
}

void CheckpointSaver::protect(std::optional<std::int64_t> step) {
  best_ = step;
  store_.protect(step);
}

void CheckpointSaver::keep_best(std::int64_t step) {
  best_before_ = best_;
  protect(step);
  if (saved_step_ != step || is_saving()) return;
  process_.together([&] {
    if (process_.is_root()) warn(retain_quietly(store_, step));
  });
}

}  // namespace ganymede
