"""Makes up DJ sets, the same for the same id: what the stand-in site's pages show and what reading them must give."""

import random
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Literal

Level = Literal["identified", "partial", "unknown"]

_FIRST = [
    "Amber",
    "Basalt",
    "Cedar",
    "Delta",
    "Ember",
    "Fjord",
    "Garnet",
    "Harbour",
    "Indigo",
    "Juniper",
    "Karst",
    "Lumen",
    "Marble",
    "Nimbus",
    "Onyx",
    "Prism",
]
_SECOND = [
    "Circuit",
    "Drift",
    "Engine",
    "Field",
    "Garden",
    "Hollow",
    "Island",
    "Ledger",
    "Meridian",
    "Orchard",
    "Parade",
    "Quarter",
    "Signal",
    "Tides",
]
_MIX = ["Extended Mix", "Original Mix", "Dub", "VIP Mix", "Live Edit"]
_LABELS = ["NORTH PIER", "SLATE AUDIO", "NINE FATHOMS", "PAPER MOON", "LOWLAND"]
_GENRES = ["House", "Techno", "Trance", "Drum & Bass", "Melodic House", "Breaks"]
_PLACES = ["Harbour Hall, Esbjerg", "Quarry Festival, Ghent", "Signal Room, Porto", "Tent 4, Kiruna", "Pier 9, Trieste"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it must be read; `suffix` is the part of the title that pages show beside the name."""

    artist: str
    title: str
    level: Level = "identified"
    suffix: str = ""
    together: bool = False
    cue: int | None = None
    label: str | None = None
    mashup: bool = False
    media: int | None = None

    @property
    def name(self) -> str:
        """As pages write it, without the suffix."""
        return f"{self.artist} - {self.title}"

    @property
    def full_title(self) -> str:
        """The title with its suffix."""
        return f"{self.title} {self.suffix}".strip()


@dataclass(frozen=True, slots=True)
class DjSet:
    """A set: its facts and its rows."""

    id: str
    djs: tuple[str, ...]
    event: str
    date: date
    genres: tuple[str, ...]
    duration: int
    rows: tuple[Row, ...] = field(default=())

    @property
    def title(self) -> str:
        """As pages write it."""
        return f"{' & '.join(self.djs)} @ {self.event} {self.date}"

    @property
    def identified(self) -> int:
        """Count the rows that are known in full."""
        return sum(row.level == "identified" for row in self.rows)


def make_set(identity: str, *, rows: int | None = None) -> DjSet:
    """A set of 14 to 30 rows, or of as many as asked, with every kind of row among them."""
    rng = random.Random(identity)
    made = tuple(_row(rng, index) for index in range(rows or rng.randint(14, 30)))
    timed = _timed(rng, made)
    return DjSet(
        id=identity,
        djs=tuple(f"DJ {rng.choice(_FIRST)} {rng.choice(_SECOND)}" for _ in range(rng.choice((1, 1, 2)))),
        event=rng.choice(_PLACES),
        date=date(2023, 1, 1) + timedelta(days=rng.randrange(1300)),
        genres=tuple(rng.sample(_GENRES, 2)),
        duration=max((row.cue or 0 for row in timed), default=0) + 300,
        rows=timed,
    )


def without_cues(made: DjSet) -> DjSet:
    """Return the set without its times."""
    return replace(made, rows=tuple(replace(row, cue=None) for row in made.rows))


def with_backward_cue(made: DjSet) -> DjSet:
    """Return the set with the time of one row in the middle set before the times of its neighbours."""
    mains = [index for index, row in enumerate(made.rows) if not row.together and row.cue]
    victim = mains[len(mains) // 2]
    rows = list(made.rows)
    rows[victim] = replace(rows[victim], cue=7)
    for index in range(victim + 1, len(rows)):
        if not rows[index].together:
            break
        rows[index] = replace(rows[index], cue=7)
    return replace(made, rows=tuple(rows))


def with_hard_names(made: DjSet) -> DjSet:
    """Return the set with names that are hard to write down: quotes, entities, dashes, other scripts."""
    names = [
        ('Anna "Spin" Ørsted', 'The "Real" Thing'),
        ("Salt & Pepper <Live>", "Rock & Roll > Sleep"),
        ("坂田ミオ", "夜の電車 - Night Train"),
        ("O'Neil", 'It\'s 5" (12" Mix)'),
    ]
    rows = list(made.rows)
    for index, (artist, title) in zip((0, 3, 8, 9), names, strict=True):
        rows[index] = replace(rows[index], artist=artist, title=title, level="identified", suffix="")
    return replace(made, rows=tuple(rows))


def _row(rng: random.Random, index: int) -> Row:
    artist = f"{rng.choice(_FIRST)} {rng.choice(_SECOND)}"
    title = f"{rng.choice(_SECOND)} of {rng.choice(_FIRST)} ({rng.choice(_MIX)})"
    row = Row(
        artist,
        title,
        label=rng.choice([*_LABELS, None]),
        media=rng.randrange(10_000, 999_999),
        together=rng.random() < 0.12,
    )
    kind = {2: "unknown", 4: "partial", 5: "acappella", 6: "id remix", 7: "mashup", 3: "with", 0: "plain"}.get(index)
    kind = kind or rng.choices(["plain", "unknown", "partial", "acappella", "id remix"], [80, 6, 6, 4, 4])[0]
    if kind == "unknown":
        return replace(row, artist="ID", title="ID", level="unknown", label=None, media=None)
    if kind == "partial":
        return replace(row, title="ID", level="partial", label=None, media=None)
    if kind == "id remix":
        return replace(row, title=title.partition(" (")[0], suffix="(ID Remix)", level="partial", label=None)
    if kind == "acappella":
        return replace(row, suffix="(Acappella)", together=True)
    if kind == "mashup":
        return replace(row, artist=f"{artist} vs. {rng.choice(_FIRST)}", mashup=True, label=None)
    return replace(row, together=kind == "with" or (row.together and index > 0))


def _timed(rng: random.Random, rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """Times that grow, shared by rows played together; the last row or two of most sets have none."""
    mains = sum(not row.together for row in rows)
    untimed = rng.choice((0, 1, 1, 2))
    clock = rng.choice((0, 0, 0, 42))
    timed, seen = [], 0
    for row in rows:
        if not row.together:
            clock += rng.randint(80, 300) if seen else 0
            seen += 1
        timed.append(replace(row, cue=clock if seen <= mains - untimed else None))
    return tuple(timed)
