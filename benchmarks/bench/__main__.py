"""``python benchmarks/bench``; see ``command.py``."""

import os
import sys
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command line does

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from bench.command import main

    sys.exit(main(sys.argv[1:]))
