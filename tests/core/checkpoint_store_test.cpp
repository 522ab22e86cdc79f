#include "core/checkpoint_store.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "core/error.h"
#include "core/files.h"
#include "tests/core/ordinary_user.h"
#include "tests/core/saved_checkpoint.h"
#include "tests/core/temporary_folder.h"

namespace ganymede {
namespace {

std::string bytes_in(const std::filesystem::path& path) {
  return read_text_file(path, 1 << 30);
}

void overwrite(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::vector<std::int64_t> steps_in(const CheckpointStore& store) {
  std::vector<std::int64_t> steps;
  for (const std::filesystem::path& checkpoint : store.list()) steps.push_back(*step_of(checkpoint));
  return steps;
}

std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(CheckpointStore, AnyNumberOfRanksWritesWhatOneReads) {
  const NamedTensors tensors = some_tensors(3);
  for (const int world_size : {1, 2, 3, 5, 300}) {
    const TemporaryFolder folder;
    const CheckpointStore store(folder / "checkpoints", 2);
    const std::filesystem::path saved = save(store, 12, tensors, world_size);
    EXPECT_EQ(saved, folder / "checkpoints/step-000000012");
    EXPECT_EQ(names_in(saved).size(), static_cast<std::size_t>(world_size) + 1);
    const Manifest manifest = read_manifest(saved);
    EXPECT_EQ(manifest.header.at("images"), 768);
    for (int rank = 0; rank < 3; ++rank) verify_shards(saved, manifest, rank, 3);
    EXPECT_TRUE(bitwise_equal(read_tensors(saved, manifest), tensors)) << world_size;
  }
}

TEST(CheckpointStore, NoDamageToAManifestLoads) {
  const TemporaryFolder folder;
  const std::filesystem::path saved = save({folder.path(), 1}, 3, some_tensors(1), 2);
  const std::filesystem::path path = saved / Manifest::file_name;
  const std::string bytes = bytes_in(path);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << i % 8));
    overwrite(path, damaged);
    expect_error(ExitCode::checkpoint, [&] { restore(saved); });
  }
  for (std::size_t size = 0; size < bytes.size(); size += 7) {
    overwrite(path, bytes.substr(0, size));
    expect_error(ExitCode::checkpoint, [&] { restore(saved); });
  }
  std::filesystem::remove(path);
  expect_error(ExitCode::checkpoint, [&] { restore(saved); });
  overwrite(path, bytes);
  EXPECT_TRUE(bitwise_equal(restore(saved), some_tensors(1)));
}

TEST(CheckpointStore, NoDamageToAShardLoads) {
  const TemporaryFolder folder;
  const std::filesystem::path saved = save({folder.path(), 1}, 3, some_tensors(1), 3);
  const Manifest manifest = read_manifest(saved);
  const auto expect_refused = [&](const FileRecord& shard) {
    // Each alone must see it: ranks that verify a share only, and those that read.
    const std::string message = expect_error(ExitCode::checkpoint, [&] { verify_shards(saved, manifest); });
    EXPECT_NE(message.find(shard.name), std::string::npos) << message;
    expect_error(ExitCode::checkpoint, [&] { read_tensors(saved, manifest); });
  };
  for (const FileRecord& shard : manifest.shards) {
    const std::string bytes = bytes_in(saved / shard.name);
    for (std::size_t i = 0; i < bytes.size(); i += i < 16 ? 1 : 13) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << i % 8));
      overwrite(saved / shard.name, damaged);
      expect_refused(shard);
    }
    for (std::size_t size = 0; size < bytes.size(); size += 101) {
      overwrite(saved / shard.name, bytes.substr(0, size));
      expect_refused(shard);
    }
    overwrite(saved / shard.name, bytes + '\0');
    expect_refused(shard);
    std::filesystem::remove(saved / shard.name);
    expect_refused(shard);
    overwrite(saved / shard.name, bytes);
  }
  EXPECT_TRUE(bitwise_equal(restore(saved), some_tensors(1)));
}

TEST(CheckpointStore, ShardsOfAnotherStepDoNotLoad) {
  const TemporaryFolder folder;
  const CheckpointStore store(folder.path(), 2);
  const std::filesystem::path first = save(store, 1, some_tensors(1), 2);
  const std::filesystem::path second = save(store, 2, some_tensors(2), 2);
  const auto replace = std::filesystem::copy_options::overwrite_existing;
  std::filesystem::copy_file(first / shard_name(0, 2), second / shard_name(0, 2), replace);
  expect_error(ExitCode::checkpoint, [&] { verify_shards(second, read_manifest(second)); });
  expect_error(ExitCode::checkpoint, [&] { read_tensors(second, read_manifest(second)); });
  std::filesystem::copy_file(first / Manifest::file_name, second / Manifest::file_name, replace);
  expect_error(ExitCode::checkpoint, [&] { read_manifest(second); });
}

TEST(CheckpointStore, ShardMustHoldWhatTheManifestSays) {
  const TemporaryFolder folder;
  const CheckpointStore store(folder.path(), 2);
  const auto publish = [&](const NamedTensors& written, const NamedTensors& claimed) {
    const std::filesystem::path temporary = store.begin(5, "n");
    return store.publish(temporary, 5, {}, lay_out(claimed, 1), {write_shard(temporary, written, 0, 1)});
  };
  const at::Tensor zeros = at::zeros({2, 3});
  const NamedTensors claimed = {{"a", zeros}};
  for (const NamedTensors& written :
       {NamedTensors{{"b", zeros}}, NamedTensors{{"a", zeros}, {"b", zeros}},
        NamedTensors{{"a", at::zeros({3, 2})}}, NamedTensors{{"a", at::zeros({2, 3}, at::kInt)}}}) {
    const std::filesystem::path saved = publish(written, claimed);
    expect_error(ExitCode::checkpoint, [&] { read_tensors(saved, read_manifest(saved)); });
  }
  EXPECT_TRUE(bitwise_equal(restore(publish(claimed, claimed)), claimed));
}

TEST(CheckpointStore, ListsNewestFirstAndNothingElse) {
  const TemporaryFolder folder;
  const CheckpointStore store(folder / "checkpoints", 9);
  EXPECT_TRUE(store.list().empty());
  for (const int step : {100, 20, 3}) save(store, step, some_tensors(1), 1);
  EXPECT_EQ(steps_in(store), (std::vector<std::int64_t>{3})) << "a run that went back leaves its later steps";
  for (const int step : {20, 100}) save(store, step, some_tensors(1), 1);
  for (const char* name : {"step-000000007.tmp-x", "trash-step-000000008", "step-9", "notes"})
    std::filesystem::create_directory(folder / "checkpoints" / name);
  overwrite(folder / "checkpoints/step-000000050", "a file");
  EXPECT_EQ(steps_in(store), (std::vector<std::int64_t>{100, 20, 3}));
}

TEST(CheckpointStore, BeginClearsWhatUnfinishedSavesLeft) {
  const TemporaryFolder folder;
  const CheckpointStore store(folder.path(), 9);
  save(store, 1, some_tensors(1), 1);
  for (const char* name : {"step-000000002.tmp-x", "trash-step-000000001", "trash-step-000000001.replaced"}) {
    std::filesystem::create_directory(folder / name);
    overwrite(folder / name / "shard", "half");
  }
  for (const char* name : {"notes", "mine.tmp-1", "trash-mine"})
    std::filesystem::create_directory(folder / name);
  const std::filesystem::path temporary = store.begin(2, "y");
  store.clear_leftovers(temporary);
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"mine.tmp-1", "notes", "step-000000001",
                                                               "step-000000002.tmp-y", "trash-mine"}));
  EXPECT_TRUE(std::filesystem::is_empty(temporary));
}

TEST(CheckpointStore, TheNewestStay) {
  const TemporaryFolder folder;
  const CheckpointStore store(folder.path(), 2);
  for (int step = 1; step <= 5; ++step) {
    save(store, step, some_tensors(step), 2);
    EXPECT_EQ(steps_in(store).size(), static_cast<std::size_t>(std::min(step, 2)));
  }
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"step-000000004", "step-000000005"}));
  EXPECT_TRUE(bitwise_equal(restore(folder / "step-000000004"), some_tensors(4)));
  expect_error(ExitCode::options, [&] { CheckpointStore(folder.path(), 0); });
}

TEST(CheckpointStore, TheBestStaysBeyondTheNewest) {
  const TemporaryFolder folder;
  CheckpointStore store(folder.path(), 1);
  const auto steps = [&] {
    std::vector<std::int64_t> found;
    for (const auto& checkpoint : store.list()) found.push_back(*step_of(checkpoint));
    return found;
  };
  using Steps = std::vector<std::int64_t>;
  save(store, 1, some_tensors(1), 1);
  store.protect(1);
  for (const std::int64_t step : {2, 3}) save(store, step, some_tensors(1), 1);
  EXPECT_EQ(steps(), Steps({3, 1}));
  store.protect(3);
  save(store, 4, some_tensors(1), 1);
  EXPECT_EQ(steps(), Steps({4, 3})) << "the best before goes";
  store.protect(4);
  store.retain(4);
  EXPECT_EQ(steps(), Steps({4})) << "the best is the newest";
  save(store, 2, some_tensors(1), 1);
  EXPECT_EQ(steps(), Steps({2})) << "the run went back to before it";
}

TEST(CheckpointStore, ThoseOfEachSoManyStepsStayBeyondTheNewest) {
  const TemporaryFolder folder;
  const CheckpointStore store(folder.path(), 2, 4);
  for (int step = 1; step <= 11; ++step) save(store, step, some_tensors(step), 2);
  EXPECT_EQ(steps_in(store), (std::vector<std::int64_t>{11, 10, 8, 4}));
  save(store, 6, some_tensors(6), 1);
  EXPECT_EQ(steps_in(store), (std::vector<std::int64_t>{6, 4})) << "the run went back to before them";
}

TEST(CheckpointStore, DamagedOnesDoNotCountAmongTheKept) {
  const TemporaryFolder folder;
  const CheckpointStore generous(folder.path(), 9);
  for (int step = 1; step <= 4; ++step) save(generous, step, some_tensors(step), 1);
  overwrite(folder / "step-000000004/manifest.json", "{}");
  overwrite(folder / "step-000000003" / shard_name(0, 1), "short");
  save({folder.path(), 2}, 5, some_tensors(5), 1);
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"step-000000002", "step-000000005"}));
}

TEST(CheckpointStore, TheSameStepIsReplaced) {
  const TemporaryFolder folder;
  const CheckpointStore store(folder.path(), 1);
  for (const double value : {1.0, 2.0, 3.0}) {
    const std::filesystem::path saved = save(store, 8, some_tensors(value), 2);
    EXPECT_TRUE(bitwise_equal(restore(saved), some_tensors(value)));
    EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"step-000000008"}));
  }
}

/// No file may grow beyond `bytes` while this lives: stands for a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST(CheckpointStore, AFailingDiskIsAStorageErrorAndHarmless) {
  const TemporaryFolder folder;
  const CheckpointStore store(folder.path(), 2);
  save(store, 1, some_tensors(1), 2);
  const std::filesystem::path temporary = store.begin(2, "n");
  const NamedTensors tensors = some_tensors(2);
  for (const rlim_t bytes : {0, 8, 100, 700}) {
    const FileSizeLimit limit(bytes);
    expect_error(ExitCode::storage, [&] { write_shard(temporary, shard_of(tensors, 0, 2), 0, 2); });
    EXPECT_TRUE(std::filesystem::is_empty(temporary)) << "room that the next attempt needs";
  }
  std::vector<FileRecord> shards;
  for (const int rank : {0, 1}) shards.push_back(write_shard(temporary, shard_of(tensors, rank, 2), rank, 2));
  {
    const FileSizeLimit limit(100);
    expect_error(ExitCode::storage, [&] { store.publish(temporary, 2, {}, lay_out(tensors, 2), shards); });
  }
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"step-000000001"}));
  EXPECT_TRUE(bitwise_equal(restore(store.list().front()), some_tensors(1)));
}

// A lack of permission stands for a disk that fails for a while.
TEST(CheckpointStore, WhatCannotBeReadIsNotTakenForDamage) {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  fs::permissions(folder.path(), fs::perms::all);
  fs::create_directory(folder / "run");
  const CheckpointStore store(folder / "run", 2);
  const fs::path saved = save(store, 1, some_tensors(1), 2);
  const Manifest manifest = read_manifest(saved);
  const auto close = [](const fs::path& path) { fs::permissions(path, fs::perms::none); };
  const auto expect_unread = [](const std::function<void()>& read) {
    const OrdinaryUser user;
    expect_error(ExitCode::storage, read);
  };
  close(saved / Manifest::file_name);
  expect_unread([&] { read_manifest(saved); });
  close(saved / shard_name(1, 2));
  expect_unread([&] { verify_shards(saved, manifest); });
  expect_unread([&] { read_tensors(saved, manifest); });
  close(saved);
  expect_unread([&] { read_manifest(saved); });
  expect_unread([&] { verify_shards(saved, manifest); });
  fs::permissions(saved, fs::perms::owner_all);
}

TEST(CheckpointStore, APlaceWithoutRoomForFoldersIsAStorageError) {
  const TemporaryFolder folder;
  overwrite(folder / "file", "in the way");
  const CheckpointStore store(folder / "file/checkpoints", 1);
  expect_error(ExitCode::storage, [&] { store.begin(1, "n"); });
}

}  // namespace
}  // namespace ganymede
