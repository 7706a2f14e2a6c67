"""Classifies pages without a tracklist: most refusals of the site are ordinary pages with status 200."""

import re
from dataclasses import dataclass
from typing import Literal

from selectolax.lexbor import LexborHTMLParser

GENERIC_TITLE = "The World's Leading DJ Tracklist/Playlist Database"
"""The title of the home page, which gates and shells carry instead of the set's."""

DECOY_MINIMUM = 3
"""Smallest number of named rows by which a page can be recognised as a decoy."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Reason why there is no tracklist. `recheck`: worth one more look before it is believed."""

    code: str
    message: str
    scope: Literal["item", "provider"] = "item"
    recheck: bool = False


CHALLENGE = Refusal(
    "challenge",
    "The site asks for a browser check. It is not answered: open the page yourself and send its html.",
    "provider",
)
CAPTCHA = Refusal(
    "captcha", "The site asks for a captcha. It is not solved: open the page yourself and send its html.", "provider"
)
IP_LIMITED = Refusal(
    "ip_limited", "The site has limited this address for overuse. Wait some hours, and lower the rate.", "provider"
)
BLOCKED = Refusal(
    "blocked", "The site's protection refused the request. Wait some hours, or send the page's html.", "provider"
)
UNTRUSTED = Refusal(
    "untrusted_data",
    "The page names its tracks in two ways that do not agree, as pages made to mislead do. Nothing of it was kept.",
    "provider",
)
NOT_FOUND = Refusal("not_found", "The site has no such tracklist. Check the id in the address.")
SHELL = Refusal("not_found", "The site answered with its home page instead of a tracklist.", recheck=True)
NO_TRACKLIST = Refusal("no_tracklist", "The page is complete but holds no tracklist.")
EMPTY_TRACKLIST = Refusal("empty_tracklist", "The tracklist has no rows yet.")
UNKNOWN_PAGE = Refusal("invalid_response", "The answer is no page of a tracklist site.", recheck=True)

_TURNSTILE = re.compile(r"turnstile-container|challenges\.cloudflare\.com", re.IGNORECASE)
_SPACE = re.compile(r"\s+")


def classify(document: LexborHTMLParser, html: str) -> Refusal:
    """Classify a page without track rows. Look for rows first: a good page may carry the marks of a gate as well."""
    if gate := find_gate(document, html):
        return gate
    if document.css_first("#tlTab") is not None:
        return EMPTY_TRACKLIST
    if document.css_first("#pageTitle") is not None:
        return NO_TRACKLIST
    if GENERIC_TITLE.lower() in _title(document).lower():
        return SHELL
    return UNKNOWN_PAGE


def find_gate(document: LexborHTMLParser, html: str) -> Refusal | None:
    """Return the gate that the page is, tested by the most specific sign first; None when it is no gate."""
    text = _SPACE.sub(" ", html).lower()
    if "has been limited due to overuse" in text or document.css_first('form[action*="/info/unblock_ip"]') is not None:
        return IP_LIMITED
    if "we need to validate your are real human" in text or document.css_first("input#captcha") is not None:
        return CAPTCHA
    if (
        "please wait, you will be forwarded to the requested page" in text
        or document.css_first('input[type="hidden"][name="captcha"]') is not None
        or _TURNSTILE.search(html)
    ):
        return CHALLENGE
    if _title(document).lower().startswith(("just a moment", "attention required")):
        return BLOCKED
    return None


def is_decoy(named_rows: int, mismatched_rows: int) -> bool:
    """Tell whether too many rows name two different tracks; on genuine pages at most one does, by a slip."""
    return named_rows >= DECOY_MINIMUM and 2 * mismatched_rows >= named_rows


def _title(document: LexborHTMLParser) -> str:
    node = document.css_first("title")
    return node.text().strip() if node is not None else ""
