"""The kinds of page that the stand-in site serves, told apart by the letters that begin an id, and what each leads to.

| id begins | the site answers | the item ends |
| --- | --- | --- |
| ok | a good page, in one of the six forms | succeeded |
| turn | a good page that carries Turnstile markup as well | succeeded |
| quot | a good page with quotes, entities and other scripts in its names | succeeded |
| long | a good page of more than 99 main tracks | succeeded, several CUE sheets |
| back | a good page with a time that goes backwards | succeeded, with a warning |
| nocue | a good page without times | succeeded, no CUE sheet |
| slow | a good page, after a while | succeeded |
| moved | 301 to another slug of the same id, which is good | succeeded |
| busy | 503 with Retry-After once, then a good page | succeeded |
| rate | 429 with Retry-After once, then a good page | succeeded |
| flaky | 500 once, then a good page | succeeded |
| gone | 404 | failed `not_found` |
| shell | the home page, with 200, every time | failed `not_found`, after a second look |
| gatea, gatet | gate A; the same with Turnstile | failed `challenge`, scope provider |
| gateb, login | gate B with 200; with 401 | failed `captcha`, scope provider |
| gatec | gate C | failed `ip_limited`, scope provider |
| gated | gate D: 403 with `cf-mitigated` | failed `blocked`, scope provider |
| decoy | a page whose microdata names other tracks, others on each fetch | failed `untrusted_data`, scope provider |
| drift | a page whose rows are built differently | failed `parse_failed` |
| bare | a page complete but for its list of tracks | failed `no_tracklist` |
| empty | a list without rows | failed `empty_tracklist` |
| away | 302 to another host | failed `redirect_refused` |
| loop | 302 to itself | failed `too_many_redirects` |
| huge | a page above 2 MiB | failed `page_too_large` |
| down | 500, every time | failed `http_500`, after all attempts (not in `urls`) |
| hang | nothing, until the client gives up | failed `timeout`, after all attempts (not in `urls`) |
"""

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Kind:
    """End of one kind of item. `sheets`: CUE sheets are made; `fetches`: requests for one item, redirects too."""

    name: str
    code: str | None = None
    scope: Literal["item", "provider"] = "item"
    sheets: bool = True
    fetches: int = 1
    shown: bool = True
    """True when `urls` includes this kind."""

    @property
    def status(self) -> Literal["succeeded", "failed"]:
        """The terminal status."""
        return "failed" if self.code else "succeeded"


KINDS = {
    kind.name: kind
    for kind in (
        Kind("ok"),
        Kind("turn"),
        Kind("quot"),
        Kind("long"),
        Kind("back"),
        Kind("nocue", sheets=False),
        Kind("slow"),
        Kind("moved", fetches=2),
        Kind("busy", fetches=2),
        Kind("rate", fetches=2),
        Kind("flaky", fetches=2),
        Kind("gone", "not_found"),
        Kind("shell", "not_found", fetches=2),
        Kind("gatea", "challenge", "provider"),
        Kind("gatet", "challenge", "provider"),
        Kind("gateb", "captcha", "provider"),
        Kind("login", "captcha", "provider"),
        Kind("gatec", "ip_limited", "provider"),
        Kind("gated", "blocked", "provider"),
        Kind("decoy", "untrusted_data", "provider"),
        Kind("drift", "parse_failed"),
        Kind("bare", "no_tracklist"),
        Kind("empty", "empty_tracklist"),
        Kind("away", "redirect_refused"),
        Kind("loop", "too_many_redirects", fetches=3),
        Kind("huge", "page_too_large"),
        Kind("down", "http_500", fetches=4, shown=False),
        Kind("hang", "timeout", fetches=4, shown=False),
    )
}
"""By the letters that begin an id."""

DUPLICATE_SHARE = 0.06


def kind_of(identity: str) -> Kind:
    """The kind of an id; raises `KeyError` for letters that name none."""
    return KINDS[re.sub(r"\d.*", "", identity)]


def expected(url: str) -> Kind:
    """Return the expected end of a page of the site that is read once."""
    return kind_of(urlsplit(url).path.split("/")[2])


def page_url(origin: str, kind: str, number: int = 1) -> str:
    """An address on the site: `page_url("http://127.0.0.1:8801", "gone", 7)`."""
    if kind not in KINDS:
        raise KeyError(f"{kind!r} is no kind of page: use one of {', '.join(KINDS)}")
    return f"{origin}/tracklist/{kind}{number:06d}/demo-set-{number}.html"


def urls(origins: Sequence[str], count: int = 127, seed: int = 1) -> list[str]:
    """A batch that mixes all kinds over all origins, mostly good pages, with some addresses given twice.

    The same for the same arguments. Every kind is there once `count` is 60 or more.
    """
    rng = random.Random(seed)
    duplicates = int(count * DUPLICATE_SHARE)
    names = [kind.name for kind in KINDS.values() if kind.shown and kind.name != "ok"]
    names = (names + ["ok"] * count)[: count - duplicates]
    made = [page_url(origins[index % len(origins)], name, seed * 1000 + index) for index, name in enumerate(names)]
    made += rng.choices(made, k=duplicates)
    rng.shuffle(made)
    return made


def tally(batch: Iterable[str]) -> tuple[Counter[str], Counter[str]]:
    """Items of a batch by status, and the failed ones by code; a second mention of an address is a duplicate."""
    statuses: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    seen: set[str] = set()
    for url in batch:
        kind = expected(url)
        statuses["duplicate" if url in seen else kind.status] += 1
        if url not in seen and kind.code:
            codes[kind.code] += 1
        seen.add(url)
    return statuses, codes
