"""Items and results of the videos workload: a description of a clip, and the file and where it is."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

MAX_SECONDS = 60
MAX_PROMPT = 32_000

ProviderName = Literal["local", "openai", "replicate"]
Size = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{1,3}x[1-9][0-9]{1,3}$")]
OptionName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class Video(BaseModel):
    """One clip to make. What is left out is as the provider has it."""

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
    """A clip that was made and is kept."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    uri: str
    """Address of the file: file:// or s3://."""
    bytes: int
    sha256: str
    content_type: str
    """Content type by the file itself, not by what was said of it."""
    seconds: float | None = None
    """Duration as the provider says or, where it does not, as was asked."""
    size: str | None = None
    provider: ProviderName
    """`local`: a test picture, drawn here without any model."""
    model: str | None = None
    job_id: str | None = None
    """The provider's name of the job."""
    cost: float | None = None
    """Cost by the price in the settings, where there is one."""
