#include "distributed/black_box.h"

#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <type_traits>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/host_name.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

constexpr std::array<char, 8> box_magic{'G', 'N', 'Y', 'M', 'D', 'B', 'O', 'X'};
constexpr std::uint32_t box_version = 1;
constexpr std::uint32_t largest_capacity = 1 << 20;

/// The file: this, the ending, then from `ring_offset` on the records; an event lies at its number modulo the capacity.
struct BoxPage {
  std::array<char, 8> magic = box_magic;
  std::uint32_t version = box_version;
  std::uint32_t record_bytes = sizeof(BoxEvent);
  std::uint32_t capacity = 0;
  std::int32_t rank = 0, size = 1;
  std::uint32_t unused = 0;
  std::int64_t pid = 0, wall_start = 0, deadline = 0;
  std::array<char, 64> host{};
  std::uint64_t check = 0;
};
struct StoredEnding {
  std::int64_t time = 0, code = 0;
  std::array<char, 1000> words{};
  std::uint64_t check = 0;
};
constexpr std::size_t ending_offset = 1024, ring_offset = 4096;
static_assert(sizeof(BoxPage) <= ending_offset && ending_offset + sizeof(StoredEnding) <= ring_offset);
static_assert(std::has_unique_object_representations_v<BoxPage> &&
              std::has_unique_object_representations_v<StoredEnding> &&
              std::has_unique_object_representations_v<BoxEvent>);

template <class Stored>
std::uint64_t check_of(const Stored& stored) {
  return Xxh3::of(std::as_bytes(std::span(&stored, 1)).first(offsetof(Stored, check)));
}

template <std::size_t size>
void put(std::string_view from, std::array<char, size>& to) {
  std::copy_n(from.begin(), std::min(from.size(), size - 1), to.begin());
}

template <std::size_t size>
std::string text_of(const std::array<char, size>& characters) {
  std::string value(characters.data(), strnlen(characters.data(), size));
  for (char& c : value)
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = '?';
  return value;
}

std::int64_t nanoseconds(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return std::int64_t{1'000'000'000} * time.tv_sec + time.tv_nsec;
}

constexpr auto unordered = std::memory_order_relaxed;

}  // namespace

std::string BoxEvent::name() const {
  return text_of(text);
}

std::string BlackBox::file_name(int rank) {
  return fmt::format("rank-{:04}.ring", rank);
}

void BlackBox::make_room(const fs::path& run) {
  std::error_code error;
  fs::remove_all(folder_before(run), error);
  if (fs::exists(folder(run), error)) fs::rename(folder(run), folder_before(run), error);
  if (!error) fs::create_directory(folder(run), error);
  if (error) fail(ExitCode::storage, "cannot make {}: {}", folder(run).string(), error.message());
}

BlackBox::BlackBox(const fs::path& path, const Owner& owner, std::uint32_t capacity) : capacity_(capacity) {
  start_ = nanoseconds(CLOCK_MONOTONIC);
  BoxPage page;
  page.capacity = capacity;
  page.rank = owner.rank;
  page.size = owner.size;
  page.pid = getpid();
  page.wall_start = nanoseconds(CLOCK_REALTIME);
  page.deadline = owner.deadline.count();
  put(host_name(), page.host);
  page.check = check_of(page);
  // Written in full: a page of memory without room on the disk would be a signal later.
  std::vector<std::byte> bytes(ring_offset + capacity * sizeof(BoxEvent));
  std::memcpy(bytes.data(), &page, sizeof page);
  try {
    File file = File::create(path);
    file.write(bytes);
    void* start = ::mmap(nullptr, bytes.size(), PROT_READ | PROT_WRITE, MAP_SHARED, file.descriptor(), 0);
    if (start == MAP_FAILED) fail(ExitCode::storage, "cannot map {}: {}", path.string(), std::strerror(errno));
    memory_ = {static_cast<std::byte*>(start), bytes.size()};
    lock_ = Descriptor(::dup(file.descriptor()));
  } catch (const Error&) {
    std::error_code ignored;
    fs::remove(path, ignored);
    throw;
  }
  ::flock(lock_.number(), LOCK_EX | LOCK_NB);  // where the file system has locks
}

BlackBox::~BlackBox() {
  ::munmap(memory_.data(), memory_.size());
}

std::int64_t BlackBox::now() const noexcept {
  return nanoseconds(CLOCK_MONOTONIC) - start_;
}

void BlackBox::add(BoxEvent::Kind kind, std::int64_t value, std::string_view text) noexcept {
  BoxEvent event;
  event.number = number_.fetch_add(1, unordered) + 1;
  event.time = now();
  event.step = step_.load(unordered);
  event.value = value;
  event.sequence = sequence_.load(unordered);
  event.round = round_.load(unordered);
  event.in_round = in_round_.load(unordered);
  event.kind = kind;
  put(text, event.text);
  event.check = check_of(event);
  std::memcpy(memory_.data() + ring_offset + event.number % capacity_ * sizeof event, &event, sizeof event);
}

void BlackBox::set_step(std::int64_t step) noexcept {
  step_.store(step, unordered);
  round_.fetch_add(1, unordered);
  in_round_.store(0, unordered);
  add(BoxEvent::Kind::step, 0, {});
}

void BlackBox::enter(std::string_view what, std::int64_t bytes) noexcept {
  sequence_.fetch_add(1, unordered);
  in_round_.fetch_add(1, unordered);
  add(BoxEvent::Kind::enter, bytes, what);
}

void BlackBox::leave() noexcept {
  add(BoxEvent::Kind::leave, 0, {});
}

void BlackBox::note(std::string_view activity) noexcept {
  const std::int64_t time = now();
  const std::string_view noted(noted_.data());
  if (noted_at_ > 0 && time - noted_at_ < 1'000'000'000 && noted == activity.substr(0, noted_.size() - 1)) return;
  noted_ = {};
  put(activity, noted_);
  noted_at_ = time;
  add(BoxEvent::Kind::note, 0, activity);
}

void BlackBox::ended(int code, std::string_view words) noexcept {
  if (has_ended_.exchange(true)) return;
  StoredEnding ending;
  ending.time = now();
  ending.code = code;
  put(words, ending.words);
  ending.check = check_of(ending);
  std::memcpy(memory_.data() + ending_offset, &ending, sizeof ending);
  add(BoxEvent::Kind::ended, code, words);
}

bool BlackBox::detach(const void* address) noexcept {
  const auto* byte = static_cast<const std::byte*>(address);
  if (byte < memory_.data() || byte >= memory_.data() + memory_.size()) return false;
  return ::mmap(memory_.data(), memory_.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                0) != MAP_FAILED;
}

namespace {

/// As much of the structure as the bytes hold from there on, and whether its check is right.
template <class Stored>
bool take(std::span<const std::byte> bytes, std::size_t offset, Stored& stored) {
  if (offset + sizeof stored > bytes.size()) return false;
  std::memcpy(&stored, bytes.data() + offset, sizeof stored);
  return stored.check == check_of(stored);
}

bool is_empty(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

}  // namespace

BoxContent read_black_box(const fs::path& path) {
  return with_code(ExitCode::checkpoint, [&] {
    const File file = File::open_for_reading(path);
    const std::int64_t most = ring_offset + std::int64_t{largest_capacity} * sizeof(BoxEvent);
    std::vector<std::byte> bytes(static_cast<std::size_t>(std::min(file.size(), most)));
    file.read_at(0, bytes);
    BoxPage page;
    if (!take(bytes, 0, page) || page.magic != box_magic || page.record_bytes != sizeof(BoxEvent) ||
        page.capacity == 0 || page.capacity > largest_capacity)
      fail(ExitCode::checkpoint, "{} is no black box, or its first page is damaged", path.string());
    if (page.version != box_version)
      fail(ExitCode::checkpoint, "{} is a black box of version {}, and this program reads version {}", path.string(),
           page.version, box_version);
    BoxContent content;
    content.rank = page.rank;
    content.size = page.size;
    content.pid = page.pid;
    content.host = text_of(page.host);
    content.wall_start = page.wall_start;
    content.deadline = page.deadline;
    content.runs = ::flock(file.descriptor(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    StoredEnding ending;
    if (take(bytes, ending_offset, ending))
      content.ending = BoxContent::Ending{static_cast<int>(ending.code), 1e-9 * static_cast<double>(ending.time),
                                          text_of(ending.words)};
    for (std::uint32_t slot = 0; slot < page.capacity; ++slot) {
      const std::size_t offset = ring_offset + slot * sizeof(BoxEvent);
      BoxEvent event;
      if (take(bytes, offset, event) && event.number % page.capacity == slot)
        content.events.push_back(event);
      else if (offset + sizeof event > bytes.size() || !is_empty(std::span(bytes).subspan(offset, sizeof event)))
        ++content.torn;
    }
    std::ranges::sort(content.events, {}, &BoxEvent::number);
    return content;
  });
}

}  // namespace ganymede
