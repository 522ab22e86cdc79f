#pragma once

namespace ganymede {

/// Makes SIGUSR1 a request to save and stop: it sets the flag behind stop_requested() and does nothing else,
/// so a second one changes nothing; a request made before the call is forgotten. Interrupted system calls resume (SA_RESTART). Call it first of all in
/// main, before MPI_Init: mpirun and Slurm may signal at any moment, and an unhandled SIGUSR1 kills the rank.
void install_stop_signal();

/// True once SIGUSR1 has come. Ranks see it at different moments: agree on it collectively before acting.
bool stop_requested();

/// From now on `seen` learns of each signal that ends this process or asks it to stop (HUP, INT, TERM, ABRT, FPE, ILL,
/// SEGV, USR1), before there comes of it what did so far. It is called in the signal's handler: no locks, no
/// allocation. What is ignored stays so.
void watch_signals(void (*seen)(int number));

/// From now on, where an access to mapped memory fails (SIGBUS), `mend` is asked, in the signal's handler, whether it
/// has put things right there: then the access is repeated. If not, there comes of it what did so far.
void mend_bus_errors(bool (*mend)(const void* address));

/// Makes a write to a closed pipe or socket an error (EPIPE) where it would end the process, e.g. in `train |
/// head`.
void ignore_broken_pipes();

}  // namespace ganymede
