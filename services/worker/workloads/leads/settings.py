"""Settings of the leads workload: the key, and the permission to buy."""

from decimal import Decimal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from yarl import URL

PREFIX = "BATCHYARD_LEADS_"
PAGE = 400


class LeadsSettings(BaseSettings):
    """Settings of this workload, from the environment under the prefix `BATCHYARD_LEADS_`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, hide_input_in_errors=True)

    key: SecretStr = Field(
        SecretStr(""), description="token of PropertyRadar's API; required", examples=["the-token-of-the-account"]
    )
    url: str = Field("https://api.propertyradar.com", description="address of PropertyRadar's API")
    allow_charges: bool = Field(False, description="true: batches may buy records; false: they only count them")
    price: Decimal | None = Field(
        None,
        ge=0,
        le=1_000_000,
        description="price of a record beyond the free quota, for the check before a purchase",
        examples=["0.05"],
    )
    page: int = Field(PAGE, ge=1, le=1000, description="records of one request; the provider documents 500 at most")
    timeout_s: float = Field(60.0, gt=0, le=250, description="seconds for one call")

    @field_validator("url")
    @classmethod
    def _plain(cls, text: str) -> str:
        url = URL(text)
        if url.scheme not in ("http", "https") or not url.host or url.user or url.query_string:
            raise ValueError(f"{PREFIX}URL is no address: write it as in https://api.propertyradar.com")
        return text.rstrip("/")

    def missing(self) -> str | None:
        """Return the required setting that is missing; None if there is none."""
        if self.key.get_secret_value():
            return None
        return f"Its workers ask PropertyRadar, and {PREFIX}KEY is not set there."
