"""No secret is committed: what looks like one is in `.secrets.baseline`, where a person has judged it harmless."""

import json
import subprocess

import pytest
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import transient_settings

from tests.support.deployment import ROOT

pytestmark = pytest.mark.long
BASELINE = json.loads((ROOT / ".secrets.baseline").read_text("utf-8"))
TRACKED = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
ADVICE = "If it is harmless: detect-secrets scan --baseline .secrets.baseline && detect-secrets audit .secrets.baseline"


def test_nothing_looks_like_a_secret() -> None:
    listed = subprocess.run(TRACKED, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True).stdout
    files = [file for file in listed.split("\0") if file and (ROOT / file).is_file()]
    found = SecretsCollection(root=str(ROOT))
    with transient_settings({key: BASELINE[key] for key in ("plugins_used", "filters_used")}):
        found.scan_files(*files)
    known = {(file, entry["hashed_secret"]) for file, entries in BASELINE["results"].items() for entry in entries}
    new = {
        f"{file}:{entry.line_number} {entry.type}" for file, entry in found if (file, entry.secret_hash) not in known
    }

    assert len(files) > 10
    assert not new, f"{sorted(new)}. {ADVICE}"
