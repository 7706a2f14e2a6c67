"""Every error code of ingest has its row in the documentation, and each row a code that exists."""

import re

from tests.unit.docs.pages import ROOT, rows

_CODE = re.compile(r"Rejection\(\s*\"([a-z_]+)\"")


def test_every_error_code_is_explained() -> None:
    sources = [path.read_text("utf-8") for path in (ROOT / "services" / "ingest").rglob("*.py")]
    used = {code for text in sources for code in _CODE.findall(text)}
    explained = [code.strip("`") for code, _, _ in rows((ROOT / "docs" / "errors.md").read_text("utf-8"))]
    assert explained == sorted(explained)
    assert used - set(explained) == set()
    assert [code for code in explained if not any(f'"{code}"' in text for text in sources)] == []
