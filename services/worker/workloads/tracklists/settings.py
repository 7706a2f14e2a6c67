"""Settings of the tracklists workload: the origins that pages may be fetched from."""

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from yarl import URL

LIVE_HOST = "www.1001tracklists.com"


class TracklistsSettings(BaseSettings):
    """Settings of this workload, from the environment under the prefix `BATCHYARD_TRACKLISTS_`."""

    model_config = SettingsConfigDict(env_prefix="BATCHYARD_TRACKLISTS_", env_ignore_empty=True, frozen=True)

    live: bool = Field(False, description=f"true: fetch pages from {LIVE_HOST}; read the site's terms first")
    origins: str = Field(
        "", description="other origins to fetch from, comma-separated", examples=["http://127.0.0.1:8801"]
    )
    timeout_s: float = Field(20.0, gt=0, le=300, description="seconds for one page, from connecting to its last byte")
    contact: str = Field(
        "",
        max_length=200,
        pattern=r"^[\x20-\x7e]*$",
        description="contact address that the user agent names",
        examples=["ann@example.com"],
    )

    @field_validator("origins")
    @classmethod
    def _plain_origins(cls, text: str) -> str:
        for part in _parts(text):
            url = URL(part)
            if url.scheme not in ("http", "https") or not url.host or url.user or url.raw_path not in ("", "/"):
                raise ValueError(f"{part!r} is not an origin: write scheme, host and port, as in http://127.0.0.1:8801")
        return text

    @property
    def other_origins(self) -> list[str]:
        """Origins beside the live site."""
        return _parts(self.origins)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
