"""Settings of the predictions workload: the provider, its address and its key."""

import hashlib
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from yarl import URL

PREFIX = "BATCHYARD_PREDICTIONS_"


class PredictionsSettings(BaseSettings):
    """Settings of this workload, from the environment under the prefix `BATCHYARD_PREDICTIONS_`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, hide_input_in_errors=True)

    provider: Literal["embedded", "chat"] = Field(
        "embedded", description="predictor: embedded formulas, or a model behind a chat endpoint"
    )
    url: str = Field(
        "",
        description="chat: base address of an OpenAI-compatible API; required",
        examples=["https://api.example.com/v1"],
    )
    key: SecretStr = Field(
        SecretStr(""), description="chat: the API key; needed for https", examples=["the-key-of-the-provider"]
    )
    model: str = Field(
        "", max_length=200, description="chat: the exact name of the model; required", examples=["name-of-the-model"]
    )
    mode: Literal["json_schema", "json_object", "none"] = Field(
        "json_schema", description="chat: the way to request JSON; servers that know no schemas take one of the others"
    )
    max_tokens: int = Field(
        1000, ge=100, le=32_000, description="chat: largest number of tokens of an answer; doubled once if too few"
    )
    max_tokens_name: Literal["max_completion_tokens", "max_tokens"] = Field(
        "max_completion_tokens", description="chat: name of that parameter; older servers call it max_tokens"
    )
    timeout_s: float = Field(60.0, gt=0, le=250, description="chat: seconds for one call")
    max_items: int = Field(50, ge=1, le=1_000_000, description="projects that a batch may have")
    fallback: bool = Field(
        False,
        description="chat: true: formulas predict, marked so, while the endpoint is away or costs too much",
    )
    max_cost: float | None = Field(
        None,
        ge=0,
        le=1_000_000_000,
        description="chat: sum that one batch may cost by the two prices, which it needs; no call is made beyond it",
        examples=["5"],
    )
    price_prompt: float | None = Field(
        None, ge=0, le=1_000_000, description="chat: price of a million prompt tokens", examples=["0.5"]
    )
    price_completion: float | None = Field(
        None, ge=0, le=1_000_000, description="chat: price of a million completion tokens", examples=["1.5"]
    )

    @field_validator("url")
    @classmethod
    def _plain(cls, text: str) -> str:
        url = URL(text)
        if text and (url.scheme not in ("http", "https") or not url.host or url.user or url.query_string):
            raise ValueError(f"{PREFIX}URL is no address: write it as in https://api.example.com/v1")
        return text.rstrip("/")

    def variant(self) -> str:
        """Identify the predictor, as far as settings decide it; empty for the formulas."""
        if self.provider == "embedded":
            return ""
        asked = "\n".join((self.url, self.model, self.mode, str(self.max_tokens)))
        return hashlib.sha256(asked.encode()).hexdigest()[:12]

    def missing(self) -> str | None:
        """Return the required setting that is missing; None if there is none."""
        if self.provider == "embedded":
            return None
        needed = {"URL": self.url, "MODEL": self.model}
        if self.url.startswith("https:"):
            needed["KEY"] = self.key.get_secret_value()
        absent = [PREFIX + name for name, value in needed.items() if not value]
        if not absent and self.max_cost is not None and None in (self.price_prompt, self.price_completion):
            return f"{PREFIX}MAX_COST needs {PREFIX}PRICE_PROMPT and {PREFIX}PRICE_COMPLETION."
        verb = "is" if len(absent) == 1 else "are"
        return f"Its workers ask a chat endpoint, but {' and '.join(absent)} {verb} not set there." if absent else None
