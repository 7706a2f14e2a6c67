"""Tests of who may name which remote files, and of what their names say."""

import pytest
from pydantic import ValidationError

from batchyard_contracts.v1.commands import BatchSubmit, RemoteFiles
from batchyard_contracts.v1.values import NewItem
from services.ingest.domain.remote_file import (
    NO_REMOTE_FILES,
    FileUnreadable,
    RemoteFileRules,
    format_of,
    is_item_file,
    pause_s,
    shown_name,
)

RULES = RemoteFileRules(buckets={"ann": ["s3://in/ann", "s3://own"], "*": ["s3://shared/all/"]})


@pytest.mark.parametrize(
    ("url", "is_open"),
    [
        ("s3://in/ann", True),
        ("s3://in/ann/", True),
        ("s3://in/ann/x/y.csv", True),
        ("s3://in/anna/x.csv", False),
        ("s3://in", False),
        ("s3://in/ann/../bob/x.csv", False),
        ("s3://in/ann/./x.csv", False),
        ("s3://in/ann//x.csv", False),
        ("s3://in/ann/x.csv?versionId=1", False),
        ("s3://in/ann/*", False),
        ("s3://own", True),
        ("s3://own/a", True),
        ("s3://owned/a", False),
        ("s3://shared/all/x", True),
        ("s3://shared/x", False),
    ],
)
def test_a_bucket_is_open_below_the_prefixes_of_an_owner(url: str, is_open: bool) -> None:
    refusal = RULES.refusal("ann", RemoteFiles(url=url))
    assert (refusal is None) is is_open
    assert refusal is None or (refusal.code, refusal.status) == ("bucket_refused", 403)
    assert NO_REMOTE_FILES.refusal("ann", RemoteFiles(url=url)) is not None


def test_other_owners_have_what_is_open_to_all() -> None:
    assert RULES.refusal("bob", RemoteFiles(url="s3://shared/all/x")) is None
    assert RULES.refusal("bob", RemoteFiles(url="s3://in/ann/x")) is not None
    assert RULES.refusal("*", RemoteFiles(url="s3://in/ann/x")) is not None


@pytest.mark.parametrize(
    "url",
    [
        "https://user:password@example.com/x.csv",
        "https://user@example.com/x.csv",
        "s3://key:secret@bucket/x.csv",
        "file:///etc/passwd",
        "ftp://example.com/x",
        "https://exa mple.com/",
        "https://",
        "https:\\\\example.com",
        "https://example.com/" + "x" * 2048,
    ],
)
def test_an_address_has_a_known_scheme_and_no_password(url: str) -> None:
    with pytest.raises(ValidationError):
        RemoteFiles(url=url)


def test_a_batch_has_one_origin() -> None:
    files = RemoteFiles(url="https://example.com/x.csv")
    assert BatchSubmit(workload="noop", items_from=files).items_from == files
    with pytest.raises(ValidationError):
        BatchSubmit(workload="noop", items_from=files, items=[NewItem(payload={})])
    with pytest.raises(ValidationError):
        BatchSubmit(workload="noop", items_from=files, source={})
    with pytest.raises(ValidationError):
        BatchSubmit(workload="noop", items_from=files, sealed=False)


@pytest.mark.parametrize(
    ("name", "media_type", "given", "expected"),
    [
        ("a.csv", "application/octet-stream", None, "csv"),
        ("a.jsonl.gz", "application/gzip", None, "ndjson"),
        ("a.ndjson", "text/csv", None, "ndjson"),
        ("a", "text/csv", None, "csv"),
        ("a", "application/x-ndjson", None, "ndjson"),
        ("a.csv", "text/csv", "ndjson", "ndjson"),
    ],
)
def test_the_format_is_given_or_named(name: str, media_type: str, given: str | None, expected: str) -> None:
    form = RemoteFiles.model_validate({"url": "https://example.com/x", "format": given})
    assert format_of(form, name, media_type) == expected


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(FileUnreadable, match="Name the `format`"):
        format_of(RemoteFiles(url="https://example.com/x"), "a.json", "application/json")


def test_marks_and_empty_objects_are_no_files_of_items() -> None:
    assert is_item_file("in/a.csv", 1)
    assert not is_item_file("in/a.csv", 0)
    assert not is_item_file("in/_SUCCESS", 3)
    assert not is_item_file("_tmp", 3)
    assert not is_item_file("in/.part", 3)


def test_signatures_are_not_shown() -> None:
    assert shown_name("https://example.com/a.csv?X-Amz-Signature=1#x") == "https://example.com/a.csv"
    assert len(shown_name("https://example.com/" + "x" * 2000)) == 300


def test_pauses_grow_up_to_a_minute() -> None:
    assert [pause_s(n) for n in (1, 2, 3, 8, 20)] == [0.5, 1.0, 2.0, 60.0, 60.0]
