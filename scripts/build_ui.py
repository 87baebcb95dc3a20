"""Build the page from `ui/` where its sources changed since the last build, or run its own checks.

`python scripts/build_ui.py [--force | --check]`
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hatch_build import UiBuildError, build_ui, check_ui  # found through the line above


def main() -> int:
    """0 when the page is current (or its checks pass), 1 with the reason on stderr otherwise."""
    try:
        if "--check" in sys.argv[1:]:
            check_ui()
            return 0
        built = build_ui(force="--force" in sys.argv[1:])
    except UiBuildError as error:
        print(f"page: {error}", file=sys.stderr)
        return 1
    print("page: built" if built else "page: current", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
