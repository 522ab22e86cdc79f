# Sourced by the batch scripts beside it: starts the ranks of one command and puts the job back into the queue where that
# helps. The script that sources it has LAUNCHER, PROGRAM and the like from the environment, and has begun with
#
#   asked=no
#   trap asked=yes USR1
#
# A job is requeued after 75 (stopped on request, after saving), and up to RETRIES times in a row after what another start
# may mend: 75 of what saves nothing on its way, 6 (a peer or the network lost), 86 (a hang, ended by the watchdog) and
# 128+n (killed by a signal other than SIGINT and SIGTERM, which are somebody's wish).

# SITE: modules that provide Open MPI, where it is not part of the system.
# module load openmpi/4.1

# SITE: how ranks are started. srun needs a Slurm with PMIx (srun --mpi=list); mpirun needs nothing.
launcher=${LAUNCHER:-srun}
program=${PROGRAM:-$SLURM_SUBMIT_DIR/build/cpu/ganymede}
retries=${RETRIES:-3}
name=${SLURM_JOB_NAME:-ganymede}
# The failures in a row are counted beside the log.
failures=$PWD/.$name-$SLURM_JOB_ID.failures

step=
forward() { [ -z "$step" ] || kill -USR1 "$step" 2>/dev/null; }
trap 'asked=yes interrupted=yes; forward' USR1

say() { echo "$name: $*"; }

# count_failure: sets `count` to the failures in a row, with this one; fails where they cannot be counted. The file is
# whole or as it was: one cut short would count from the beginning, and the job be requeued for ever.
count_failure() {
  count=0
  [ ! -e "$failures" ] || count=$(cat "$failures") || return
  [[ $count =~ ^[0-9]+$ ]] || return
  count=$((count + 1))
  echo "$count" >"$failures.new" && mv -f "$failures.new" "$failures"
}

# requeue WHY: Slurm's controller may be about to start again, so it is asked for some minutes.
requeue() {
  local told_to_end=no
  # A request that was taken brings SIGTERM to all of the job's processes: not before the line that tells so.
  trap 'told_to_end=yes' TERM
  for _ in {1..12}; do
    # shellcheck disable=SC2016
    if timeout -s KILL 30 sh -c 'trap "" TERM; exec scontrol requeue "$1"' requeue "$SLURM_JOB_ID"; then
      say "$1, back into the queue"
      return
    fi
    sleep 10
    # Somebody has ended the job: that stands.
    [ $told_to_end = no ] || break
  done
  echo "$name: $1, and not taken back into the queue: give 'scontrol requeue $SLURM_JOB_ID', or the same sbatch" \
    "command again" >&2
}

case $launcher in
  # Ranks that end of themselves get a minute to do so together; those left over after one died are ended then.
  srun)
    start=(srun --mpi=pmix --kill-on-bad-exit=0 --wait=60 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}")
    start_on_each_node=(srun --mpi=none --ntasks-per-node=1 --ntasks="${SLURM_NNODES:-1}" --kill-on-bad-exit=1)
    ;;
  # Slurm's own limits bind the ranks to their cores.
  mpirun)
    start=(mpirun -n "$SLURM_NTASKS" --bind-to none)
    start_on_each_node=(mpirun --map-by ppr:1:node --bind-to none)
    if [ "$(id -u)" = 0 ]; then
      start+=(--allow-run-as-root)
      start_on_each_node+=(--allow-run-as-root)
    fi
    ;;
  *) echo "$name: LAUNCHER is '$launcher': set it to srun or mpirun" >&2; exit 2 ;;
esac

# stage FOLDER FILE...: copies the files to the folder of every machine, each whole or not at all, and sets `staged` to
# the copies, whose names tell files of one name in several folders apart. What is there in the same size and age is not
# copied again. A copy that a killed job has left half done goes, where it is the user's own and its process is gone.
stage() {
  local folder=$1 file pairs=()
  shift
  staged=()
  for file in "$@"; do
    staged+=("$folder/$(realpath -ms "$file" | sha256sum | cut -c-12)-${file##*/}")
    pairs+=("$file" "${staged[-1]}")
  done
  say "copying $* to $folder of each machine"
  # shellcheck disable=SC2016
  "${start_on_each_node[@]}" bash -c '
    mkdir -p "$1" || exit
    for partial in "$1"/*.partial."$HOSTNAME".*; do
      [ ! -O "$partial" ] || kill -0 "${partial##*.}" 2>/dev/null || rm -f "$partial"
    done
    shift
    for ((; $#; )); do
      file=$1 copy=$2 partial=$2.partial.$HOSTNAME.$$
      shift 2
      kind=$(stat -Lc "%s %Y" "$file") || exit
      [ "$kind" = "$(stat -c "%s %Y" "$copy" 2>/dev/null)" ] && continue
      cp -p "$file" "$partial" && mv "$partial" "$copy" || { rm -f "$partial"; exit 1; }
    done' stage "$folder" "${pairs[@]}" && return
  echo "$name: $* could not be copied to $folder of every machine: leave STAGE out, or make room there" >&2
  exit 5
}

# stage_data: reads the dataset `data` from copies in the folder STAGE, where that is set.
stage_data() {
  [ -n "${STAGE:-}" ] || return 0
  stage "$STAGE" "${data[@]}"
  data=("${staged[@]}")
}

# run_ranks COMMAND ARGUMENT...: runs the program on all ranks, and ends this script with its exit code.
run_ranks() {
  say "job $SLURM_JOB_ID, start $((${SLURM_RESTART_COUNT:-0} + 1)), $SLURM_NTASKS ranks on $SLURM_NODELIST"
  if [ "$asked" = yes ]; then
    requeue "asked to stop before the start"
    exit 75
  fi
  "${start[@]}" "$program" "$@" &
  step=$!
  # Again, for a signal that came between the two lines above.
  [ "$asked" = no ] || forward

  # The signal ends `wait`, not the step: wait again until what it returns is the step's own status.
  local status
  interrupted=yes
  while [ $interrupted = yes ]; do
    interrupted=no
    wait "$step"
    status=$?
  done

  if [ "$status" = 75 ] && [ "$1" = train ]; then
    rm -f "$failures"
    requeue "stopped after saving"
  elif [ "$status" = 138 ] && [ "$asked" = yes ] && [ "$1" = train ]; then
    # 128 + SIGUSR1: the signal came before the ranks were ready for it.
    requeue "stopped while starting"
  elif [ "$status" = 6 ] || [ "$status" = 75 ] || [ "$status" = 86 ] ||
    { [ "$status" -gt 128 ] && [ "$status" != 130 ] && [ "$status" != 143 ]; }; then
    local count
    if ! count_failure; then
      rm -f "$failures.new"
      echo "$name: ended with $status, and not requeued, for retries cannot be counted in $failures: make room there, and" \
        "give 'scontrol requeue $SLURM_JOB_ID', or the same sbatch command again" >&2
    elif [ "$count" -le "$retries" ]; then
      requeue "ended with $status, retry $count of $retries"
    else
      rm -f "$failures"
      say "ended with $status, as $retries retries before it: not requeued"
    fi
  else
    rm -f "$failures"
  fi
  exit "$status"
}
