"""Settings of S3-compatible services, and of the place of large results."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from shared.artefacts.store import StorePlace, check_place
from shared.runtime.settings import Settings

S3Url = Annotated[
    str,
    StringConstraints(pattern=r"^(https?://[^\s/?#@]+(/[^\s?#]*)?)?$"),
    Field(examples=["https://minio:9000"]),
]
"""Address of an S3-compatible service; empty: AWS."""
S3KeyId = Annotated[
    str,
    Field(description="its access key; empty: as the AWS tools find it", examples=["the-key-id-of-the-account"]),
]
S3Secret = Annotated[SecretStr, Field(description="its secret key", examples=["the-secret-key-of-the-service"])]
S3Region = Annotated[str, Field(description="its region")]


class ResultStoreSettings(Settings):
    """Place of large results, the same for workers and the aggregator."""

    results_store: Annotated[str, AfterValidator(check_place)] = Field(
        "",
        description="where results of more than 64 KiB are kept: a folder that all workers and replicas of the "
        "aggregator share, or s3://bucket/prefix; empty: with the outcomes in PostgreSQL",
        examples=["s3://results/batchyard"],
    )
    results_s3_url: S3Url = Field("", description="S3-compatible service of results; empty: AWS")
    results_s3_key_id: S3KeyId = ""
    results_s3_secret: S3Secret = SecretStr("")
    results_s3_region: S3Region = "us-east-1"

    @property
    def results_place(self) -> StorePlace:
        """Place of large results; without a name if there is none."""
        return StorePlace(
            self.results_store,
            self.results_s3_url,
            self.results_s3_key_id,
            self.results_s3_secret,
            self.results_s3_region,
        )
