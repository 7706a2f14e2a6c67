"""Items and results of the http workload: a call, and its answer."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from batchyard_contracts.v1.manifest import Pointer

MAX_BODY_CHARS = 256 * 1024
MAX_KEPT_BYTES = 256 * 1024
MAX_READ_BYTES = 1024 * 1024
"""Largest part of an answer that is read when a rule concerns its body."""
MAX_TIMEOUT_S = 120.0
MAX_REDIRECTS = 5

Method = Literal["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH"]
REPEATABLE = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))
"""Methods that may be repeated without harm (RFC 9110, 9.2.2)."""
HeaderName = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$")]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]*$", max_length=4096)]
Statuses = Annotated[str, StringConstraints(pattern=r"^[1-5]xx$")]

_OURS = re.compile(
    r"host|content-length|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect|proxy-.*", re.IGNORECASE
)


class SuccessRule(BaseModel):
    """Rule of success: the status is listed, and the body fulfils the rule, if there is one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    statuses: Annotated[
        list[Annotated[int, Field(ge=100, le=599)] | Statuses],
        Field(min_length=1, max_length=50, description='Such as 200, 404 or "2xx"'),
    ] = ["2xx"]
    pointer: Annotated[
        Pointer | None, Field(description="JSON Pointer into the answer; the value there must exist")
    ] = None
    equals: Annotated[JsonValue, Field(description="What the value at `pointer` must be")] = None
    matches: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=200,
            description="Regular expression (without look-around) that must be found in the text of the answer, or in "
            "the value at `pointer`",
        ),
    ] = None

    @property
    def has_expected_value(self) -> bool:
        """Tell whether `equals` was given: null is a value."""
        return "equals" in self.model_fields_set

    @property
    def has_body_condition(self) -> bool:
        """Tell whether the rule concerns the body."""
        return self.pointer is not None or self.matches is not None

    def has_status(self, status: int) -> bool:
        """Tell whether a status counts as success."""
        return status in self.statuses or f"{status // 100}xx" in self.statuses

    @model_validator(mode="after")
    def _where(self) -> Self:
        if self.has_expected_value and self.pointer is None:
            raise ValueError('`equals` needs a `pointer`: "" is the whole answer')
        return self


class Call(BaseModel):
    """Call of one address, with the rule that decides its success."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        json_schema_extra={"not": {"required": ["body", "json"]}},
    )

    url: Annotated[
        str,
        StringConstraints(max_length=2048, pattern=r"^https?://[^/?#\s@\\]+([/?#][^\s\\]*)?$"),
        Field(description="http or https, without user and password"),
    ]
    method: Method = "GET"
    headers: Annotated[dict[HeaderName, HeaderValue], Field(max_length=50)] = {}
    credential: Annotated[
        str | None,
        StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$"),
        Field(description="Headers that the operator keeps under this name, for this destination"),
    ] = None
    body: Annotated[str | None, Field(max_length=MAX_BODY_CHARS, description="Text to send")] = None
    json_body: Annotated[JsonValue, Field(alias="json", description="JSON to send, in place of `body`")] = None
    success: SuccessRule = SuccessRule()
    repeatable: Annotated[
        bool | None,
        Field(
            description="Whether a second call does no harm, as where the destination obeys Idempotency-Key; unless "
            "set, so for all but POST and PATCH"
        ),
    ] = None
    redirects: Annotated[int, Field(ge=0, le=MAX_REDIRECTS, description="Redirects to follow; GET and HEAD only")] = 0
    timeout_s: Annotated[float, Field(gt=0, le=MAX_TIMEOUT_S, description="For each request of the call")] = 30.0
    keep_bytes: Annotated[int, Field(ge=0, le=MAX_KEPT_BYTES, description="How much of the body to keep")] = 65_536

    @property
    def has_json(self) -> bool:
        """Tell whether JSON is to be sent: null is JSON."""
        return "json_body" in self.model_fields_set

    @property
    def is_repeatable(self) -> bool:
        """Tell whether the call may be repeated if its effect is unknown."""
        if self.repeatable is not None:
            return self.repeatable
        return self.method in REPEATABLE or any(name.lower() == "idempotency-key" for name in self.headers)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.has_json and self.body is not None:
            raise ValueError("give `body` or `json`, not both")
        if self.redirects and self.method not in ("GET", "HEAD"):
            raise ValueError(f"redirects of {self.method} are not followed: leave `redirects` out")
        if ours := next((name for name in self.headers if _OURS.fullmatch(name)), None):
            raise ValueError(f"the header {ours!r} is set by the call itself: leave it out")
        if len({name.lower() for name in self.headers}) < len(self.headers):
            raise ValueError("a header is given twice; upper and lower case are the same")
        return self


class CallAnswer(BaseModel):
    """Answer to a call. The body is in `json` where it is JSON and whole, else in `body`."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)

    status: int
    url: str
    """Address that answered, after redirects."""
    headers: dict[str, str]
    """Headers about the body and its caching; never cookies."""
    json_body: Annotated[Any, Field(alias="json")] = None
    body: str | None = None
    encoding: Literal["json", "text", "base64", "none"] = "none"
    """Encoding of the stored body."""
    bytes_kept: int = 0
    truncated: bool = False
    """True when only the beginning of the body is kept."""
