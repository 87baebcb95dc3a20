"""What a plant keeps on disk, and where: one folder, private to its user."""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from powerflock.domain.errors import InvalidInput
from powerflock.history import snapshots
from powerflock.history.blobs import Blobs
from powerflock.history.storage import Storage
from powerflock.settings import Settings
from powerflock.twins.columns import Shard
from powerflock.twins.snapshot import Mark

_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class PlantFiles:
    """`secret` signs device tokens, `enrol_key` opens enrolment, `lock` is held for life; the rest are paths."""

    folder: Path
    log: Path
    clock: Path
    enrol_key_file: Path
    enrol_key: str
    secret: bytes
    lock: IO[bytes]

    @staticmethod
    def open(folder: Path) -> PlantFiles:
        """Make or reopen the folder; secrets are made once, readable by their owner only."""
        with _made(folder), ExitStack() as undo:
            lock = undo.enter_context(_locked(folder / "lock"))
            secret, key = _secret(folder / "secret"), _secret(folder / "enrol.key")
            undo.pop_all()
        return PlantFiles(
            folder,
            folder / "log.sqlite",
            folder / "clock.json",
            folder / "enrol.key",
            key.hex(),
            secret,
            lock,
        )


@dataclass(frozen=True, slots=True)
class RoleFiles:
    """What one process of many keeps or shares: as `PlantFiles`, without holding the folder for itself."""

    folder: Path
    log: Path
    clock: Path
    enrol_key: str
    secret: bytes

    @staticmethod
    def open(settings: Settings) -> RoleFiles:
        """The secrets from the files that the settings name, else from the folder, made at first."""
        folder, given = settings.plant.data_dir, settings.security
        with _made(folder):
            secret = _secret(given.secret_file or folder / "secret")
            key = _secret(given.enrol_key_file or folder / "enrol.key")
        return RoleFiles(folder, folder / "log.sqlite", folder / "clock.json", key.hex(), secret)


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """The folder, for what is done inside; `InvalidInput` where the disk refuses."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield
    except OSError as error:
        raise InvalidInput(
            "plant.data_dir", str(folder), f"cannot be used: {error.strerror}", "Choose another with --data-dir."
        ) from error


def _locked(file: Path) -> IO[bytes]:
    """The file, held for this process alone until it ends, however it ends."""
    opened = file.open("ab")
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        opened.close()
        raise InvalidInput(
            "plant.data_dir", str(file.parent), "is in use by another plant", "Stop that one, or choose another folder."
        ) from error
    return opened


def _secret(file: Path) -> bytes:
    """The bytes whose hexadecimal text is in `file`, made at first."""
    if not file.exists():
        temporary = file.with_name(f"{file.name}.{secrets.token_hex(8)}.tmp")
        temporary.touch(mode=0o600)
        temporary.write_text(secrets.token_hex(_SECRET_BYTES))
        with suppress(FileExistsError):  # of two processes that start at once the first one's is kept
            file.hardlink_to(temporary)
        temporary.unlink()
    text = file.read_text().strip()
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != _SECRET_BYTES:
        raise InvalidInput(
            f"secret file {file}", f"{len(text)} characters", f"must be {2 * _SECRET_BYTES} hexadecimal digits",
            "Restore it; without it every device must be enrolled again.",
        )  # fmt: skip
    return found


@dataclass(frozen=True, slots=True)
class SnapshotFiles:
    """The runner's snapshots of shards, and beside them what the outlook has learned."""

    shards: Blobs
    outlook: Blobs

    @staticmethod
    def of(storage: Storage) -> SnapshotFiles:
        """In the folder `snapshots` of the storage."""
        return SnapshotFiles(storage.blobs("snapshots"), storage.blobs("snapshots/outlook"))

    def save(self, mark: Mark, payload: bytes) -> None:
        """Keep `payload` durably; the newest two of each partition are kept."""
        snapshots.write(self.shards, mark.partition, mark.epoch, mark.offset, payload)

    def newest(self, partition: int, decode: Callable[[bytes], tuple[Shard, Mark]]) -> tuple[Shard, Mark] | None:
        """The newest one that is whole."""
        return snapshots.newest_good(self.shards, partition, decode).state

    def save_outlook(self, time_us: int, payload: bytes) -> None:
        """Keep what was learned by `time_us`; of no epoch, for every owner learns from the same readings."""
        snapshots.write(self.outlook, 0, 0, time_us, payload)

    def load_outlook(self, load: Callable[[bytes], None]) -> None:
        """Hand the newest whole one that `load` accepts to it."""
        snapshots.newest_good(self.outlook, 0, load)


def storage_of(settings: Settings) -> Storage:
    """The storage out of the settings, its keys read from their files."""
    given = settings.storage
    return Storage(
        folder=settings.plant.data_dir,
        url=given.url,
        endpoint=given.endpoint,
        region=given.region,
        access_key=_key("storage.access_key_file", given.access_key_file),
        secret_key=_key("storage.secret_key_file", given.secret_key_file),
        allow_http=given.allow_http,
    )


def _key(setting: str, file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(setting, str(file), f"cannot be read: {error}") from error
