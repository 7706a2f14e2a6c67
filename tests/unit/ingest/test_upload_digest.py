"""The digest of an upload tells, page by page, whether one that comes again begins with what is held already."""

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.item import Entry
from services.ingest.domain.upload_digest import begin, link


def entry(number: int, payload: str = "{}", custom_id: str | None = None) -> Entry:
    return Entry(number, payload.encode(), custom_id, "", None)


PAGES = st.lists(
    st.lists(
        st.builds(
            entry, st.just(0), st.sampled_from(["{}", '{"a":1}', '{"a":"x y"}']), st.sampled_from([None, "a", "b"])
        ),
        min_size=1,
        max_size=4,
    ),
    max_size=4,
)


def digest(pages: list[list[Entry]], said: str = "upload") -> bytes:
    return reduce(link, pages, begin(said))


@given(PAGES, PAGES)
def test_two_uploads_have_the_same_digest_only_if_they_have_the_same_pages(
    one: list[list[Entry]], other: list[list[Entry]]
) -> None:
    assert (digest(one) == digest(other)) == (one == other)


def test_where_items_stand_and_what_they_are_called_counts() -> None:
    first, second = entry(0, '{"a":1}', "x"), entry(1, '{"a":2}', "y")
    pages = [
        [[first, second]],
        [[second, first]],
        [[first], [second]],
        [[first]],
        [[first._replace(custom_id="y"), second._replace(custom_id="x")]],
        [[first._replace(custom_id=None), second]],
        [[first, second._replace(custom_id=None)]],
    ]
    assert len({digest(each) for each in pages}) == len(pages)


def test_ordinals_and_destinations_do_not_count_since_they_follow_from_the_items() -> None:
    plain = entry(0, '{"a":1}')
    assert digest([[plain]]) == digest([[plain._replace(ordinal=7, partition="p", fingerprint=b"f")]])


def test_what_is_said_beside_the_items_counts() -> None:
    assert begin("owner ann") != begin("owner bob")
    assert digest([[entry(0)]], "one") != digest([[entry(0)]], "two")
    assert begin("x") == begin("x")
    assert len(begin("x")) == len(digest([[entry(0)]])) == 16


def test_the_digest_stays_the_same_from_release_to_release() -> None:
    """An upload that broke off before an update is continued after it."""
    assert begin("upload").hex() == "9d9d1ace6e8db0fb2afee48d31eeb42f"
    assert digest([[entry(0, '{"a":1}', "x"), entry(1)]]).hex() == "4658012c319fa926c44dfb0485c8e4ff"
