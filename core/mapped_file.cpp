#include "core/mapped_file.h"

#include <sys/mman.h>

#include <csetjmp>
#include <csignal>
#include <cstring>
#include <mutex>
#include <utility>

namespace ganymede {
namespace {

/// Where a thread goes on whose copy meets a page that cannot be had.
thread_local sigjmp_buf* volatile way_out = nullptr;

struct sigaction handler_before {};

void on_bus_error(int signal, siginfo_t* info, void* context) {
  if (way_out != nullptr) siglongjmp(*way_out, 1);
  if (handler_before.sa_flags & SA_SIGINFO) return handler_before.sa_sigaction(signal, info, context);
  if (handler_before.sa_handler != SIG_DFL && handler_before.sa_handler != SIG_IGN)
    return handler_before.sa_handler(signal);
  ::sigaction(signal, &handler_before, nullptr);  // the access is repeated on return
}

void install_handler() {
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  // Left by a jump, which restores no mask: so none is set.
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, &handler_before);
}

}  // namespace

std::optional<MappedFile> MappedFile::of(const File& file, std::int64_t bytes) {
  if (bytes <= 0) return std::nullopt;
  static std::once_flag installed;
  std::call_once(installed, install_handler);
  void* start = ::mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ, MAP_SHARED, file.descriptor(), 0);
  if (start == MAP_FAILED) return std::nullopt;
  return MappedFile(std::span(static_cast<const std::byte*>(start), static_cast<std::size_t>(bytes)));
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

/// Nothing here has a destructor that the jump could miss.
bool MappedFile::copy(std::int64_t offset, std::span<std::byte> to) const {
  sigjmp_buf here;
  if (sigsetjmp(here, 0) != 0) {
    way_out = nullptr;
    return false;
  }
  way_out = &here;
  std::memcpy(to.data(), bytes_.data() + offset, to.size());
  way_out = nullptr;
  return true;
}

void MappedFile::prefetch(std::int64_t offset, std::int64_t count) const {
  // The start, of which the rest of a page follows by itself, and each further page.
  constexpr std::int64_t page = 4096;
  __builtin_prefetch(bytes_.data() + offset);
  for (std::int64_t at = (offset / page + 1) * page; at < offset + count; at += page)
    __builtin_prefetch(bytes_.data() + at);
}

}  // namespace ganymede
