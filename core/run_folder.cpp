#include "core/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <limits>
#include <string>
#include <system_error>
#include <vector>

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

constexpr std::string_view sample_prefix = "step-", sample_suffix = ".png";

/// The step of a picture's name, whatever its kind; -1 for any other name.
std::int64_t sample_step(std::string_view name) {
  if (!name.starts_with(sample_prefix) || !name.ends_with(sample_suffix)) return -1;
  name.remove_prefix(sample_prefix.size());
  name.remove_suffix(sample_suffix.size());
  std::int64_t step = -1;
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), step);
  const bool ends = parsed.ptr == name.data() + name.size() || *parsed.ptr == '-';
  return parsed.ec == std::errc() && ends ? step : -1;
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
  if (found == open_.end()) found = open_.emplace(file, RecordFile(File::open_for_appending(folder_ / file))).first;
  found->second.append(json_text(line) + "\n");
}

std::string RunFolder::trouble() const {
  for (const auto& [name, file] : open_)
    if (!file.trouble().empty()) return file.trouble();
  return "";
}

void RunFolder::cut_back(std::int64_t step) {
  cut_lines_back(log_name, step);
  cut_lines_back(metrics_name, step);
  // Who begins anew writes the line of step 0 once more, and would find one that a kill left before the first save.
  cut_lines_back(chain_name, step > 0 ? step : -1);
  cut_samples_back(step);
}

std::string RunFolder::sample_name(std::int64_t step, std::string_view kind) {
  return fmt::format("{}{:09}{}{}{}", sample_prefix, step, kind.empty() ? "" : "-", kind, sample_suffix);
}

void RunFolder::cut_samples_back(std::int64_t step) {
  std::error_code error;
  std::vector<std::filesystem::path> later;
  for (std::filesystem::directory_iterator entry(samples(), error), end; !error && entry != end;
       entry.increment(error))
    if (sample_step(entry->path().filename().string()) > step) later.push_back(entry->path());
  for (const std::filesystem::path& picture : later)
    if (!error) std::filesystem::remove(picture, error);
  if (error) fail(ExitCode::storage, "cannot remove pictures from {}: {}", samples().string(), error.message());
  if (!later.empty()) sync_folder(samples());
}

void RunFolder::cut_lines_back(const char* file, std::int64_t step) {
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
