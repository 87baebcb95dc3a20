"""Build the page from `ui/` where its sources changed since the last build: `python scripts/build_ui.py [--force]`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hatch_build import UiBuildError, build_ui  # found through the line above


def main() -> int:
    """0 when the page is current, 1 with the reason on stderr when it cannot be built."""
    try:
        built = build_ui(force="--force" in sys.argv[1:])
    except UiBuildError as error:
        print(f"page: {error}", file=sys.stderr)
        return 1
    print("page: built" if built else "page: current", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
