#pragma once

namespace ganymede {

/// Makes SIGUSR1 a request to save and stop: it sets the flag behind stop_requested() and does nothing else,
/// so a second one changes nothing; a request made before the call is forgotten. Interrupted system calls resume (SA_RESTART). Call it first of all in
/// main, before MPI_Init: mpirun and Slurm may signal at any moment, and an unhandled SIGUSR1 kills the rank.
void install_stop_signal();

/// True once SIGUSR1 has come. Ranks see it at different moments: agree on it collectively before acting.
bool stop_requested();

/// Makes a write to a closed pipe or socket an error (EPIPE) where it would end the process, e.g. in `train |
/// head`.
void ignore_broken_pipes();

}  // namespace ganymede
