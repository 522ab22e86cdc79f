#include "core/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/hash.h"

namespace ganymede {
namespace {

enum class Access { read, write };

[[noreturn]] void fail_with_errno(const char* action, const std::filesystem::path& path, int error,
                                  Access access = Access::write) {
  const char* remedy = "";
  switch (error) {
    case ENOSPC:
      remedy = ": free space there or choose another folder";
      break;
    case EDQUOT:
      remedy = ": the quota is used up; free space or choose another folder";
      break;
    case EROFS:
    case EACCES:
    case EPERM:
      remedy = access == Access::read ? ": mend the permissions so that this user may read it"
                                      : ": choose a path this user may write to, or mend its permissions";
      break;
    case EIO:
    case ESTALE:
      remedy = ": the disk or its server fails: try again, and mend it if that does not help";
      break;
    default:
      break;
  }
  fail(ExitCode::storage, "cannot {} {}: {}{}", action, path.string(), std::strerror(error), remedy);
}

int open_or_fail(const char* action, const std::filesystem::path& path, int flags,
                 Access access = Access::write) {
  int descriptor;
  do {
    descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
  } while (descriptor < 0 && errno == EINTR);
  if (descriptor < 0) fail_with_errno(action, path, errno, access);
  return descriptor;
}

void lock(const File& file, bool is_new) {
  if (::flock(file.descriptor(), LOCK_EX | LOCK_NB) == 0) return;
  if (errno == EWOULDBLOCK)
    fail(ExitCode::storage,
         "{} is being written by another process: wait until it ends, or choose another name",
         file.path().string());
  // Nobody else has what was not there before.
  if (!is_new)
    fail(ExitCode::storage,
         "{} is there, and the file system has no locks to tell who writes it ({}): remove it "
         "unless another process does",
         file.path().string(), std::strerror(errno));
}

bool is_still_at(const std::filesystem::path& path, const File& file) {
  struct stat named {
  }, opened{};
  return ::stat(path.c_str(), &named) == 0 && ::fstat(file.descriptor(), &opened) == 0 &&
         named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

}  // namespace

File File::open_for_reading(const std::filesystem::path& path) {
  return {open_or_fail("open", path, O_RDONLY, Access::read), path};
}

File File::create(const std::filesystem::path& path) {
  return {open_or_fail("create", path, O_RDWR | O_CREAT | O_TRUNC), path};
}

File File::create_exclusively(const std::filesystem::path& path) {
  for (;;) {
    int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    const bool is_new = descriptor >= 0;
    if (!is_new) descriptor = open_or_fail("create", path, O_RDWR | O_CREAT);
    File file(descriptor, path);
    lock(file, is_new);
    // Between opening and locking, whoever held it may have renamed or removed it.
    if (!is_still_at(path, file)) continue;
    if (!is_new && ::ftruncate(descriptor, 0) != 0) fail_with_errno("empty", path, errno);
    return file;
  }
}

File File::open_for_appending(const std::filesystem::path& path) {
  return {open_or_fail("open", path, O_WRONLY | O_CREAT | O_APPEND), path};
}

std::int64_t File::size() const {
  struct stat status {};
  if (::fstat(descriptor(), &status) != 0) fail_with_errno("inspect", path_, errno, Access::read);
  return status.st_size;
}

void File::read_at(std::int64_t offset, std::span<std::byte> bytes) const {
  int attempts_left = 5;
  while (!bytes.empty()) {
    const ssize_t count = ::pread(descriptor(), bytes.data(), bytes.size(), offset);
    if (count < 0) {
      if (errno == EINTR) continue;
      if ((errno == EIO || errno == ESTALE) && --attempts_left > 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        continue;
      }
      fail_with_errno("read", path_, errno, Access::read);
    }
    if (count == 0)
      fail(ExitCode::storage, "{} ends {} bytes early at offset {}: was it cut or replaced while in use?",
           path_.string(), bytes.size(), offset);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += count;
  }
}

void File::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor(), bytes.data(), bytes.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      fail_with_errno("write", path_, errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void File::write_at(std::int64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(descriptor(), bytes.data(), bytes.size(), offset);
    if (count < 0) {
      if (errno == EINTR) continue;
      fail_with_errno("write", path_, errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += count;
  }
}

void File::reserve(std::int64_t size) {
  // posix_fallocate() would write zeros where the file system cannot reserve; fallocate() then says
  // EOPNOTSUPP.
  while (size > 0 && ::fallocate(descriptor(), 0, 0, size) != 0) {
    if (errno == EINTR) continue;
    if (errno == EOPNOTSUPP || errno == ENOSYS) return;
    fail_with_errno("reserve space for", path_, errno);
  }
}

void File::write(std::string_view text) {
  write(std::as_bytes(std::span(text)));
}

void File::sync() {
  while (::fsync(descriptor()) != 0)
    if (errno != EINTR) fail_with_errno("flush", path_, errno);
}

void File::close() {
  // Linux closes a descriptor also where a signal interrupts close().
  if (::close(descriptor_.release()) != 0 && errno != EINTR) fail_with_errno("close", path_, errno);
}

void sync_folder(const std::filesystem::path& folder) {
  File file = File::open_for_reading(folder.empty() ? "." : folder);
  file.sync();
}

void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) fail_with_errno("rename to", to, errno);
  sync_folder(to.parent_path());
}

void write_file_durably(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::path temporary = path;
  temporary += ".tmp";
  try {
    File file = File::create(temporary);
    file.write(text);
    file.sync();
    file.close();
    rename_durably(temporary, path);
  } catch (const Error&) {
    ::unlink(temporary.c_str());
    throw;
  }
}

void check_writable(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  if (!std::filesystem::is_directory(folder, error))
    fail(ExitCode::storage, "{}: there is no folder {}", path.string(), folder.string());
  if (std::filesystem::is_directory(path, error))
    fail(ExitCode::storage, "{} is a folder: name a file", path.string());
  std::filesystem::path temporary = path;
  temporary += fmt::format(".probe-{}", ::getpid());
  File::create(temporary).close();
  ::unlink(temporary.c_str());
}

std::uint64_t digest_of_file(const std::filesystem::path& path) {
  const File file = File::open_for_reading(path);
  const std::int64_t size = file.size();
  std::vector<std::byte> block(1 << 20);
  Xxh3 hash;
  for (std::int64_t offset = 0; offset < size; offset += std::ssize(block)) {
    const std::span part(block.data(), static_cast<std::size_t>(std::min(size - offset, std::ssize(block))));
    file.read_at(offset, part);
    hash.update(part);
  }
  return hash.digest();
}

std::optional<std::int64_t> size_of_file(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    fail_with_errno("inspect", path, errno, Access::read);
  }
  if (!S_ISREG(status.st_mode)) return std::nullopt;
  return status.st_size;
}

std::string read_text_file(const std::filesystem::path& path, std::int64_t limit) {
  const File file = File::open_for_reading(path);
  const std::int64_t size = file.size();
  if (size > limit)
    fail(ExitCode::storage, "{} holds {} bytes, more than the {} expected of such a file", path.string(),
         size, limit);
  std::string text(static_cast<std::size_t>(size), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text)));
  return text;
}

void create_folders(const std::filesystem::path& folder) {
  std::error_code error;
  if (folder.empty() || std::filesystem::is_directory(folder, error)) return;
  create_folders(folder.parent_path());
  if (std::filesystem::create_directory(folder, error)) sync_folder(folder.parent_path());
  if (error) fail_with_errno("create folder", folder, error.value());
}

}  // namespace ganymede
