"""The storage settings as a backend for snapshots and as options for Delta tables: one meaning for both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.fs as arrow

from powerflock.domain.errors import InvalidInput
from powerflock.history.blobs import Blobs, FolderBlobs, ObjectBlobs

_CONNECT_S, _REQUEST_S = 5.0, 30.0


@dataclass(frozen=True, slots=True, repr=False)
class Storage:
    """Where files go: the local `folder` where `url` is empty, else `s3://BUCKET/PREFIX`. Never printed: it has keys.

    Without keys the store's own ways to find them are used (environment, profile, instance role).
    """

    folder: Path
    url: str = ""
    endpoint: str = ""
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = ""
    allow_http: bool = False

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        if bool(self.access_key) != bool(self.secret_key):
            raise InvalidInput("storage keys", "one of two", "must be both given or both left out")
        if urlsplit(self._endpoint_url()).scheme == "http" and not self.allow_http:
            raise InvalidInput("storage.endpoint", self.endpoint, "must be https", "Or set storage.allow_http.")

    def blobs(self, name: str) -> Blobs:
        """The place called `name` (may hold slashes) in the storage."""
        if not self.url:
            return FolderBlobs(self.folder / name)
        return ObjectBlobs(self._object_store(), f"{self.url.removeprefix('s3://').rstrip('/')}/{name}")

    def uri(self, name: str) -> str:
        """The same place as a URI, for a Delta table."""
        return f"{self.url.rstrip('/')}/{name}" if self.url else str(self.folder / name)

    def delta_options(self) -> dict[str, str]:
        """`storage_options` for deltalake: commits are conditional puts, so no lock table is needed."""
        if not self.url:
            return {}
        options = {"AWS_REGION": self.region, "aws_conditional_put": "etag"}
        if self.endpoint:
            options |= {"AWS_ENDPOINT_URL": self._endpoint_url(), "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false"}
        if self.access_key:
            options |= {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}
        if self.allow_http:
            options["AWS_ALLOW_HTTP"] = "true"
        return options

    def _endpoint_url(self) -> str:
        if not self.endpoint or "://" in self.endpoint:
            return self.endpoint
        return f"{'http' if self.allow_http else 'https'}://{self.endpoint}"

    def _object_store(self) -> arrow.FileSystem:
        endpoint = urlsplit(self._endpoint_url())
        return arrow.S3FileSystem(
            access_key=self.access_key or None,
            secret_key=self.secret_key or None,
            region=self.region,
            endpoint_override=endpoint.netloc or None,
            scheme=endpoint.scheme or "https",
            connect_timeout=_CONNECT_S,
            request_timeout=_REQUEST_S,
        )
