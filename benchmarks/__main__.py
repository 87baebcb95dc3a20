"""The benchmarks' command line: `python -m benchmarks [NAME] [--quick] [--json] [--against PEER]`, `--all`."""

from __future__ import annotations

import os

THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_NUM_THREADS")
os.environ.update(dict.fromkeys(THREADS, "1"))  # before numpy and numba are imported: one core is what is measured

if __name__ == "__main__":
    from benchmarks.command import main

    raise SystemExit(main())
