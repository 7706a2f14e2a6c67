"""Items and results of the videos workload: the description of a clip, and its file with its address."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

MAX_SECONDS = 60
MAX_PROMPT = 32_000

ProviderName = Literal["local", "openai", "replicate"]
Size = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{1,3}x[1-9][0-9]{1,3}$")]
OptionName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class Video(BaseModel):
    """Clip to make. The provider's defaults apply to fields that are left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT, description="What is to be seen")]
    seconds: Annotated[int | None, Field(ge=1, le=MAX_SECONDS, description="How long the clip is")] = None
    size: Annotated[Size | None, Field(description="Width x height, as in 1280x720")] = None
    model: Annotated[
        str | None,
        StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}$"),
        Field(description="The provider's name of a model; unless given, the one in the settings"),
    ] = None
    seed: Annotated[int | None, Field(ge=0, lt=2**31, description="Another seed, another clip of the same prompt")] = (
        None
    )
    options: Annotated[
        dict[OptionName, JsonValue],
        Field(max_length=30, description="Further inputs of the model, passed on as they are"),
    ] = {}


class Clip(BaseModel):
    """Clip that was made and stored."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    uri: str
    """Address of the file: file:// or s3://."""
    bytes: int
    sha256: str
    content_type: str
    """Content type by the first bytes of the file, not by the provider's header."""
    seconds: float | None = None
    """Duration that the provider states, else the requested one."""
    size: str | None = None
    provider: ProviderName
    """`local`: a test picture, drawn here without any model."""
    model: str | None = None
    job_id: str | None = None
    """Id of the job at the provider."""
    cost: float | None = None
    """Cost by the price in the settings, where there is one."""
