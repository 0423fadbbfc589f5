"""One process of a launched training; `caft.training.launch` starts it: -m caft.training JOB."""

import sys

from caft.training.launch import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
