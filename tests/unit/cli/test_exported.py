"""Exports are unpacked into their folder and nowhere else."""

import io
import zipfile
from pathlib import Path

import pytest

from services.cli.actions.unzip import unpack
from services.cli.errors import BadInput


def archive(**files: str) -> io.BytesIO:
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w") as target:
        for name, text in files.items():
            target.writestr(name, text)
    box.seek(0)
    return box


def test_every_file_is_written(tmp_path: Path) -> None:
    assert unpack(archive(**{"a.cue": "A", "ü b.cue": "B"}), tmp_path / "new") == 2
    assert {file.name: file.read_text() for file in (tmp_path / "new").iterdir()} == {"a.cue": "A", "ü b.cue": "B"}


@pytest.mark.parametrize("name", ["../a.cue", "/etc/a.cue", "b/a.cue", "..\\a.cue"])
def test_a_name_that_leads_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="outside of its folder"):
        unpack(archive(**{name: "x"}), tmp_path / "in")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_half_a_zip_is_refused(tmp_path: Path) -> None:
    half = io.BytesIO(archive(a="x" * 1000).getvalue()[:60])
    with pytest.raises(BadInput, match="not a complete zip"):
        unpack(half, tmp_path)
