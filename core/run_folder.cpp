#include "core/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <string>
#include <system_error>

#include "core/error.h"
#include "core/host_name.h"
#include "core/strict_json.h"

namespace ganymede {
namespace {

constexpr std::int64_t longest_holder = 4096;

std::filesystem::path without_trailing_slash(const std::filesystem::path& path) {
  return path.has_filename() ? path : path.parent_path();
}

/// Refuses what is no folder of its own, makes it otherwise.
std::filesystem::path prepare(const std::filesystem::path& given) {
  // With a trailing slash a link would be followed before it is seen.
  const std::filesystem::path folder = without_trailing_slash(given);
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::symlink_status(folder, error);
  if (std::filesystem::is_symlink(status))
    fail(ExitCode::storage, "{} is a symbolic link: name the run folder itself", folder.string());
  if (std::filesystem::exists(status) && !std::filesystem::is_directory(status))
    fail(ExitCode::storage, "{} is not a folder: choose another run folder", folder.string());
  create_folders(folder);
  return folder;
}

std::string this_process() {
  return fmt::format("process {} on host {}", ::getpid(), host_name());
}

/// What the lock file says of its holder, on one line whatever is in it.
std::string holder_of(const std::filesystem::path& lock) {
  try {
    const std::string text = read_text_file(lock, longest_holder);
    const std::string line = text.substr(0, text.find('\n'));
    if (!line.empty()) return line;
  } catch (const Error&) {
    // Named below as well as it can be.
  }
  return "another process";
}

File lock_folder(const std::filesystem::path& folder) {
  File lock = File::open_for_appending(folder / ".lock");
  if (::flock(lock.descriptor(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK)
      fail(ExitCode::storage, "{} is in use by {}: end that run, or choose another run folder",
           folder.string(), holder_of(lock.path()));
    fail(ExitCode::storage, "cannot lock {}: {}: choose a file system that has locks", lock.path().string(),
         std::strerror(errno));
  }
  if (::ftruncate(lock.descriptor(), 0) != 0)
    fail(ExitCode::storage, "cannot write {}: {}", lock.path().string(), std::strerror(errno));
  // Synced, so that a full disk shows here and not in the middle of training.
  lock.write(this_process() + "\n");
  lock.sync();
  return lock;
}

bool is_there(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

bool is_kept(const std::string& line, std::int64_t step) {
  const nlohmann::json report = nlohmann::json::parse(line, nullptr, false);
  if (!report.is_object()) return false;
  const auto found = report.find("step");
  return found == report.end() || !found->is_number() || found->get<double>() <= static_cast<double>(step);
}

}  // namespace

RunFolder::RunFolder(const std::filesystem::path& folder)
    : folder_(prepare(folder)), lock_(lock_folder(folder_)) {
  create_folders(samples());
  create_folders(checkpoints());
  write_file_durably(folder_ / ".writable", "");
  std::error_code ignored;
  std::filesystem::remove(folder_ / ".writable", ignored);
  is_fresh_ = !is_there(folder_ / config_name) && !is_there(folder_ / log_name) &&
              std::filesystem::is_empty(checkpoints(), ignored) && !ignored;
}

void RunFolder::append(const char* file, const nlohmann::json& line) {
  auto found = open_.find(file);
  if (found == open_.end()) found = open_.emplace(file, File::open_for_appending(folder_ / file)).first;
  found->second.write(json_text(line) + "\n");
}

void RunFolder::cut_log_back(std::int64_t step) {
  cut_back(log_name, step);
  cut_back(metrics_name, step);
}

void RunFolder::cut_back(const char* file, std::int64_t step) {
  const std::filesystem::path path = folder_ / file;
  if (!is_there(path)) return;
  const std::string text = read_text_file(path, std::numeric_limits<std::int64_t>::max());
  std::string kept;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    if (is_kept(line, step)) kept += line + "\n";
    begin = end + 1;
  }
  open_.erase(file);  // else it would go on writing into the file that is replaced
  if (kept != text) write_file_durably(path, kept);
}

void RunFolder::write_config(std::string_view text) const {
  write_file_durably(folder_ / config_name, text);
}

}  // namespace ganymede
