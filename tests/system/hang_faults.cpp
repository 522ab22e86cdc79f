// Loaded before the MPI library (LD_PRELOAD), it strikes a rank as it is about to send the first messages of an all-reduce:
// it lets it hang, or come late. What it does comes from the environment:
//
//     HANG_FAULTS_KIND     spin; finalize: MPI_Finalize, and exit in order; delay
//     HANG_FAULTS_RANK     of which of mpirun's ranks; without it, of all
//     HANG_FAULTS_ARMED    messages count from when this file is there
//     HANG_FAULTS_AT       number of the message that is struck, the first is 1
//     HANG_FAULTS_EVERY    of delays: one message in about so many, by a draw
//     HANG_FAULTS_MOST     the longest delay, in milliseconds; the others are shorter at random
//     HANG_FAULTS_LOG      a file that gets a line each time: the monotonic clock's seconds, rank, milliseconds
//
// Only messages before a rank takes part in a collective count, which distributed/mpi.cpp gives even tags: in the midst of
// one, what its other ranks wait for would be MPI's own.

#define OMPI_SKIP_MPICXX
#include <dlfcn.h>
#include <mpi.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <random>

namespace {

long number(const char* name, long otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::atol(value) : otherwise;
}

bool is(const char* kind) {
  const char* value = std::getenv("HANG_FAULTS_KIND");
  return value != nullptr && std::strcmp(value, kind) == 0;
}

long own_rank() {
  return number("OMPI_COMM_WORLD_RANK", -1);
}

bool is_armed() {
  static bool armed = false;
  const char* file = std::getenv("HANG_FAULTS_ARMED");
  return armed = armed || (file != nullptr && ::access(file, F_OK) == 0);
}

void note(long milliseconds) {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  if (std::FILE* file = std::fopen(std::getenv("HANG_FAULTS_LOG"), "a")) {
    std::fprintf(file, "%ld.%09ld %ld %ld\n", static_cast<long>(now.tv_sec), now.tv_nsec, own_rank(), milliseconds);
    std::fclose(file);
  }
}

void delay() {
  static std::mt19937 random(static_cast<unsigned>(own_rank() + 1));
  // A rank's delays are apart: together they would be longer than the longest.
  constexpr long apart = 20;
  static const long every = number("HANG_FAULTS_EVERY", 100), most = number("HANG_FAULTS_MOST", 0);
  static long since = 0;
  if (++since <= apart || static_cast<long>(random() % static_cast<unsigned long>(every)) != 0) return;
  since = 0;
  const long milliseconds = static_cast<long>(random() % static_cast<unsigned long>(most)) + 1;
  note(milliseconds);
  ::usleep(static_cast<useconds_t>(1000 * milliseconds));
}

void before_message() {
  static const long rank = number("HANG_FAULTS_RANK", own_rank());
  if (rank != own_rank() || !is_armed()) return;
  if (is("delay")) return delay();
  static const long at = number("HANG_FAULTS_AT", 1);
  static long count = 0;
  if (++count != at) return;
  note(0);
  if (is("finalize")) {
    MPI_Finalize();
    ::_exit(0);
  }
  for (std::atomic<long> spins{0};;) ++spins;
}

}  // namespace

extern "C" int MPI_Isend(const void* buffer, int count, MPI_Datatype type, int to, int tag, MPI_Comm group,
                         MPI_Request* request) {
  static const auto next = reinterpret_cast<decltype(&MPI_Isend)>(::dlsym(RTLD_NEXT, "MPI_Isend"));
  if (tag % 2 == 0) before_message();
  return next(buffer, count, type, to, tag, group, request);
}
