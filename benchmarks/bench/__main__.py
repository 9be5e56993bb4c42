"""``python benchmarks/bench``; see ``command.py``."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    if sys.argv[1:2] != ["inside"]:  # which tells one side from the other
        from cardigan.tuning import tune_process

        tune_process()  # as the command line does
    from bench.command import main

    sys.exit(main(sys.argv[1:]))
