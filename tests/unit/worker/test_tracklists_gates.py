"""Telling gates, decoys and shells from tracklists and from each other."""

import pytest

from batchyard_contracts.workload import Permanent, RateLimited, Transient, WorkloadError
from services.worker.workloads.tracklists.answer import PageAnswer, judge, judge_saved
from services.worker.workloads.tracklists.model import Tracklist
from tests.support import tracklist_gates as gates
from tests.support.tracklist_pages import FORMS, render
from tests.support.tracklist_sets import Row, make_set

MADE = make_set("ok000042")
GOOD = render(MADE, FORMS[3], "http://127.0.0.1:8801")


def failure(answer: PageAnswer) -> WorkloadError:
    got = judge(answer)
    assert isinstance(got, WorkloadError), got
    return got


@pytest.mark.parametrize(
    ("answer", "kind", "code", "scope"),
    [
        (PageAnswer(gates.challenge()), Permanent, "challenge", "provider"),
        (
            PageAnswer(gates.challenge("DJ @ Somewhere 2026-05-16", turnstile=True), 206),
            Permanent,
            "challenge",
            "provider",
        ),
        (PageAnswer('<div id="turnstile-container"></div>'), Permanent, "challenge", "provider"),
        (
            PageAnswer('<script src="https://challenges.cloudflare.com/x.js"></script>'),
            Permanent,
            "challenge",
            "provider",
        ),
        (PageAnswer(gates.image_captcha()), Permanent, "captcha", "provider"),
        (PageAnswer(gates.image_captcha(), 401), Permanent, "captcha", "provider"),
        (PageAnswer("", 401), Permanent, "captcha", "provider"),
        (PageAnswer(gates.ip_limit()), Permanent, "ip_limited", "provider"),
        (PageAnswer(gates.ip_limit(), 429), Permanent, "ip_limited", "provider"),
        (PageAnswer(gates.cloudflare(), 403), Permanent, "blocked", "provider"),
        (PageAnswer("", 403), Permanent, "blocked", "provider"),
        (PageAnswer(gates.cloudflare(), 503), Permanent, "blocked", "provider"),
        (PageAnswer(GOOD, 200, mitigated=True), Permanent, "blocked", "provider"),
        (PageAnswer(gates.home_page()), Transient, "not_found", "item"),
        (PageAnswer("Not found", 404), Permanent, "not_found", "item"),
        (PageAnswer("Gone", 410), Permanent, "not_found", "item"),
        (PageAnswer(render(MADE, FORMS[0], "http://x", body="")), Permanent, "no_tracklist", "item"),
        (
            PageAnswer(render(MADE, FORMS[3], "http://x", body='<div id="tlTab"></div>')),
            Permanent,
            "empty_tracklist",
            "item",
        ),
        (PageAnswer('{"success": true}'), Transient, "invalid_response", "item"),
        (PageAnswer("", 429), RateLimited, "rate_limited", "provider"),
        (PageAnswer("", 429, retry_after_s=30.0), RateLimited, "rate_limited", "provider"),
        (PageAnswer("", 503, retry_after_s=0.0), RateLimited, "unavailable", "provider"),
        (PageAnswer("", 503), Transient, "http_503", "item"),
        (PageAnswer("", 500), Transient, "http_500", "item"),
        (PageAnswer("", 408), Transient, "http_408", "item"),
        (PageAnswer("", 400), Permanent, "http_400", "item"),
        (PageAnswer("", 304), Permanent, "http_304", "item"),
    ],
)
def test_an_answer_without_a_page_becomes_the_error_that_it_means(
    answer: PageAnswer, kind: type[WorkloadError], code: str, scope: str
) -> None:
    error = failure(answer)

    assert (type(error), error.code, error.scope) == (kind, code, scope)
    assert len(error.message) > 10


def test_the_pause_that_the_server_asked_for_is_passed_on() -> None:
    error = failure(PageAnswer("", 429, retry_after_s=12.5))

    assert isinstance(error, RateLimited)
    assert error.delay_s == 12.5


def test_rows_are_looked_for_before_gates() -> None:
    marks = '<p>Please wait, you will be forwarded to the requested page</p><input id="captcha">'

    assert isinstance(judge(PageAnswer(GOOD.replace("<body>", f"<body>{marks}"))), Tracklist)


def names(mismatched: int) -> str:
    """A page on which the microdata of so many rows names another track."""
    named = [row for row in MADE.rows if row.level != "unknown"]
    other = {row.name for row in named[:mismatched]}

    def machine_name(row: Row) -> str:
        return "Nobody - Nothing" if row.name in other else row.name.upper().replace(" ", "  ")

    return render(MADE, FORMS[3], "http://127.0.0.1:8801", machine_name=machine_name)


def test_a_page_half_of_whose_names_differ_is_a_decoy() -> None:
    named = sum(row.level != "unknown" for row in MADE.rows)

    error = failure(PageAnswer(names(-(-named // 2))))

    assert (type(error), error.code, error.scope) == (Permanent, "untrusted_data", "provider")


def test_a_slip_or_another_spelling_is_no_decoy() -> None:
    got = judge(PageAnswer(names(1)))

    assert isinstance(got, Tracklist)
    assert (got.mismatched_rows, got.named_rows) == (1, sum(row.level != "unknown" for row in MADE.rows))


def contradicting(rows: int, mismatched: int) -> PageAnswer:
    named = "".join(
        f'<div class="tlpItem"><div id="tlp{n}_content"><meta itemprop="name" content="Nobody - {n}">'
        f'<span class="trackValue">{"Somebody" if n < mismatched else "Nobody"} - {n}</span></div></div>'
        for n in range(rows)
    )
    return PageAnswer(f'<div id="tlTab">{named}</div>')


def test_half_of_the_named_rows_suffices_and_less_does_not() -> None:
    assert failure(contradicting(6, 3)).code == "untrusted_data"
    assert isinstance(judge(contradicting(6, 2)), Tracklist)


def test_fewer_than_three_named_rows_prove_no_decoy() -> None:
    assert isinstance(judge(contradicting(2, 2)), Tracklist)
    assert failure(contradicting(3, 3)).code == "untrusted_data"


@pytest.mark.parametrize(
    ("html", "code"),
    [
        (gates.challenge(), "challenge"),
        (gates.ip_limit(), "ip_limited"),
        (gates.home_page(), "not_found"),
        ("x", "invalid_response"),
    ],
)
def test_a_gate_that_somebody_saved_is_the_items_own_and_final(html: str, code: str) -> None:
    error = judge_saved(html)

    assert isinstance(error, Permanent)
    assert (error.code, error.scope) == (code, "item")
