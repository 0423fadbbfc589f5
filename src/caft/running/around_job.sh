# Sourced by the shell around each job. It outlives a SIGTERM to all, and so waits for what the job still stores.
trap : INT TERM HUP
trap 'status=$?
if [ $status -eq 137 ]; then
  echo "The job was killed (SIGKILL), as it is when memory is used up: run fewer jobs at once (--cores), or lower" \
    "engine.token_budget, evaluation.batch_size or training.batch_size. What is complete is kept; the same command" \
    "goes on." >&2
fi' EXIT
