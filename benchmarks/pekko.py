"""The twin update as Apache Pekko actors and as a loop over Java arrays: `python -m benchmarks twins --against pekko`.

Built by Maven from `benchmarks/pekko/` into `.venv-peers/`, and run on one core, the dispatcher with one thread. Where
there is no Java or Maven, or they cannot build it, the reason goes to stderr and its rows are left out.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from benchmarks import peers
from benchmarks.rows import Row, more_is_better

PROJECT = Path(__file__).resolve().parent / "pekko"
TOOLS = ("java", "mvn")
ACTORS, QUICK_ACTORS = 1_000_000, 400_000
ROUNDS, QUICK_ROUNDS = 9, 5
BUILD_S, RUN_S = 900, 900
HEAP = "-Xmx3g"


class Answer(msgspec.Struct, frozen=True):
    """What the Java program prints."""

    actors_per_s: float
    arrays_per_s: float
    bytes_per_actor: int


def rows(measured: list[Row], *, quick: bool) -> list[Row]:
    """Ours, the first row's value, against Pekko's actors and against Java's arrays; none where they cannot run."""
    actors, rounds = (QUICK_ACTORS, QUICK_ROUNDS) if quick else (ACTORS, ROUNDS)
    try:
        answer = ask(actors, rounds)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        sys.stderr.write(f"pekko is left out, for it cannot be built and run: {str(said).strip()[-600:]}\n")
        return []
    ours = measured[0]
    by_actor = f"an Apache Pekko actor per device, {actors:,} devices, {answer.bytes_per_actor:,} bytes each"
    by_array = f"a loop over Java arrays, {actors:,} devices: the limit of that machine"
    return [
        more_is_better(ours.metric, ours.value, ours.unit, by_actor, answer.actors_per_s),
        more_is_better(ours.metric, ours.value, ours.unit, by_array, answer.arrays_per_s),
    ]


def ask(actors: int, rounds: int) -> Answer:
    """Build where needed and run; raises `OSError` where a tool is missing and `SubprocessError` where one fails."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise FileNotFoundError(f"no {' and no '.join(missing)} on the PATH")
    folder = built()
    classpath = f"{folder / 'classes'}:{(folder / 'classpath').read_text(encoding='utf-8')}"
    pinned = ["taskset", "-c", "0"] if shutil.which("taskset") else []
    command = [*pinned, "java", HEAP, "-cp", classpath, "Twins", str(actors), str(rounds), "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S, check=True)
    return msgspec.json.decode(done.stdout, type=Answer)


def built() -> Path:
    """The folder of the compiled classes and the `classpath` of what they need, made first where it is absent."""
    sources = sorted(PROJECT.rglob("*.java"))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in (PROJECT / "pom.xml", *sources))).hexdigest()
    folder = peers.ENVIRONMENTS / f"pekko-{digest[:12]}"
    classpath = folder / "classpath"
    if not classpath.is_file():
        sys.stderr.write(f"building pekko into {folder.relative_to(peers.ENVIRONMENTS.parent)} ...\n")
        command = ["mvn", "-q", "-B", "-f", str(PROJECT / "pom.xml"), f"-Dbuilt={folder}", "compile"]
        command += ["dependency:build-classpath", f"-Dmdep.outputFile={classpath}"]  # written last: it is complete
        subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, check=True)
    return folder
