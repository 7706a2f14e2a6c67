"""The picture that is drawn without a model, what files are by their first bytes, and what settings must hold."""

import struct
import zlib
from pathlib import Path
from uuid import UUID

import pytest

from batchyard_contracts.workload import Context
from services.worker.workloads.videos import local
from services.worker.workloads.videos.artefacts.kinds import kind_of
from services.worker.workloads.videos.artefacts.store import fault_of, open_store
from services.worker.workloads.videos.handler import workload
from services.worker.workloads.videos.model import Clip, Video
from services.worker.workloads.videos.opening import VideoResources
from services.worker.workloads.videos.settings import VideosSettings
from services.worker.workloads.videos.work import pause_s


def chunks(file: bytes) -> list[tuple[bytes, bytes]]:
    """The parts of a PNG, each checked."""
    found, at = [], 8
    while at < len(file):
        (length,) = struct.unpack_from(">I", file, at)
        name, data = file[at + 4 : at + 8], file[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", file, at + 8 + length)[0] == zlib.crc32(name + data)
        found.append((name, data))
        at += 12 + length
    return found


def test_an_animated_picture_that_says_what_it_is() -> None:
    file = local.render("a crane", 0, (32, 18), 2)
    parts = chunks(file)
    names = [name for name, _ in parts]
    assert names[:4] == [b"IHDR", b"acTL", b"tEXt", b"fcTL"]
    assert names[-1] == b"IEND"
    assert names.count(b"fcTL") == 2 * local.FRAMES_PER_S
    data = [part if name == b"IDAT" else part[4:] for name, part in parts if name in {b"IDAT", b"fdAT"}]
    pictures = [zlib.decompress(part) for part in data]
    assert {len(picture) for picture in pictures} == {18 * (1 + 3 * 32)}
    assert len(set(pictures)) == len(pictures), "it moves"
    numbers = [struct.unpack(">I", part[:4])[0] for name, part in parts if name in {b"fcTL", b"fdAT"}]
    assert numbers == list(range(len(numbers)))
    assert b"no model made it" in dict(parts)[b"tEXt"]


def test_the_same_item_gives_the_same_picture() -> None:
    assert local.render("a", 1, (16, 16), 1) == local.render("a", 1, (16, 16), 1)
    assert local.render("a", 1, (16, 16), 1) != local.render("a", 2, (16, 16), 1)


@pytest.mark.parametrize(
    ("asked", "drawn"), [(None, (320, 180)), ("1280x720", (640, 360)), ("9999x10", (640, 16)), ("101x99", (100, 98))]
)
def test_the_drawn_size_is_even_and_bounded(asked: str | None, drawn: tuple[int, int]) -> None:
    assert local.size_of(asked) == drawn


@pytest.mark.skipif(local.find_ffmpeg() is None, reason="ffmpeg is not installed")
def test_a_film_where_there_is_an_ffmpeg() -> None:
    file = local.render("a crane", 0, (32, 18), 2, local.find_ffmpeg())
    kind = kind_of(file)
    assert kind is not None
    assert kind.content_type == "video/mp4"


def test_an_ffmpeg_that_does_not_work(tmp_path: Path) -> None:
    broken = tmp_path / "ffmpeg"
    broken.write_text("#!/bin/sh\ncat >/dev/null\necho no codec >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(OSError, match="ended with 3: no codec"):
        local.render("a", 0, (16, 16), 1, str(broken))


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"\0\0\0\x20ftypisom\0\0\0\0", "video/mp4"),
        (b"\0\0\0\x20ftypqt  \0\0\0\0", "video/quicktime"),
        (b"\x1a\x45\xdf\xa3" + bytes(12), "video/webm"),
        (b"GIF89a" + bytes(10), "image/gif"),
        (b"RIFF\0\0\0\0AVI LIST", "video/x-msvideo"),
        (b"RIFF\0\0\0\0WAVEfmt ", None),
        (b"<!doctype html>.", None),
        (b"", None),
    ],
)
def test_the_kind_of_a_file_is_told_by_its_first_bytes(start: bytes, what: str | None) -> None:
    found = kind_of(start)
    assert (found.content_type if found else None) == what


async def test_the_workload_draws_a_picture_without_a_provider(tmp_path: Path) -> None:
    settings = VideosSettings.model_validate({"store": str(tmp_path)})
    context = Context(UUID(int=1), 3, 2, 1, "", resources=VideoResources(settings, open_store(settings)))
    clip = await workload.run(Video(prompt="a crane", seconds=1, size="32x18"), context)
    assert isinstance(clip, Clip)
    assert clip.uri == (tmp_path / str(UUID(int=1)) / f"3-2{Path(clip.uri).suffix}").as_uri()
    assert (clip.provider, clip.model, clip.size, clip.seconds) == ("local", None, "32x18", 1.0)
    assert Path(clip.uri.removeprefix("file://")).stat().st_size == clip.bytes  # noqa: ASYNC240


@pytest.mark.parametrize(
    ("given", "lacks"),
    [
        ({}, None),
        ({"provider": "openai"}, "BATCHYARD_VIDEOS_URL"),
        ({"provider": "openai", "url": "http://vllm:8000/v1"}, None),
        ({"provider": "openai", "url": "https://api.example.com/v1"}, "BATCHYARD_VIDEOS_KEY"),
        ({"provider": "replicate", "model": "a/b"}, "BATCHYARD_VIDEOS_KEY"),
        ({"provider": "replicate", "key": "k"}, "BATCHYARD_VIDEOS_MODEL"),
        ({"provider": "replicate", "key": "k", "model": "a/b"}, None),
    ],
)
def test_a_missing_setting_is_named(given: dict[str, str], lacks: str | None) -> None:
    missing = VideosSettings.model_validate(given).missing()
    assert missing is None if lacks is None else lacks in (missing or "")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    fault = fault_of(VideosSettings.model_validate({"store": str(tmp_path / "file" / "videos")}))
    assert fault is not None
    assert "BATCHYARD_VIDEOS_STORE of the workers, cannot be written to" in fault


@pytest.mark.parametrize("store", ["s3://", "https://bucket", "gs://bucket"])
def test_an_invalid_store_is_refused(store: str) -> None:
    with pytest.raises(ValueError, match="neither a folder nor"):
        VideosSettings.model_validate({"store": store})


def test_pauses_are_bounded() -> None:
    assert pause_s(0, 5.0, 0.5) == 5.0
    assert pause_s(1000, 5.0, 0.999) < 33.1
