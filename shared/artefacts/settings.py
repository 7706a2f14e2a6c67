"""Settings of the services that write and read large results."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from shared.artefacts.store import StorePlace, check_place
from shared.runtime.settings import Settings


class ResultStoreSettings(Settings):
    """Place of large results, the same for workers and the aggregator."""

    results_store: Annotated[str, AfterValidator(check_place)] = Field(
        "",
        description="where results of more than 64 KiB are kept: a folder that all workers and replicas of the "
        "aggregator share, or s3://bucket/prefix; empty: with the outcomes in PostgreSQL",
        examples=["s3://results/batchyard"],
    )
    results_s3_url: Annotated[str, StringConstraints(pattern=r"^(https?://[^\s/?#@]+(/[^\s?#]*)?)?$")] = Field(
        "", description="S3-compatible service of results; empty: AWS", examples=["https://minio:9000"]
    )
    results_s3_key_id: str = Field(
        "", description="its access key; empty: as the AWS tools find it", examples=["the-key-id-of-the-account"]
    )
    results_s3_secret: SecretStr = Field(
        SecretStr(""), description="its secret key", examples=["the-secret-key-of-the-service"]
    )
    results_s3_region: str = Field("us-east-1", description="its region")

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
