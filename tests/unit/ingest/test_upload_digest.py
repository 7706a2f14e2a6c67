"""The digest of an upload tells, page by page, whether a repeated one starts with the same items."""

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.item import ValidatedItem
from services.ingest.domain.upload_digest import extend_digest, initial_digest


def item(number: int, payload: str = "{}", custom_id: str | None = None) -> ValidatedItem:
    return ValidatedItem(number, payload.encode(), custom_id, "", None)


PAGES = st.lists(
    st.lists(
        st.builds(
            item, st.just(0), st.sampled_from(["{}", '{"a":1}', '{"a":"x y"}']), st.sampled_from([None, "a", "b"])
        ),
        min_size=1,
        max_size=4,
    ),
    max_size=4,
)


def digest(pages: list[list[ValidatedItem]], parameters: str = "upload") -> bytes:
    return reduce(extend_digest, pages, initial_digest(parameters))


@given(PAGES, PAGES)
def test_two_uploads_have_the_same_digest_only_if_they_have_the_same_pages(
    one: list[list[ValidatedItem]], other: list[list[ValidatedItem]]
) -> None:
    assert (digest(one) == digest(other)) == (one == other)


def test_the_order_and_the_custom_ids_of_items_count() -> None:
    first, second = item(0, '{"a":1}', "x"), item(1, '{"a":2}', "y")
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
    plain = item(0, '{"a":1}')
    assert digest([[plain]]) == digest([[plain._replace(ordinal=7, partition="p", fingerprint=b"f")]])


def test_the_parameters_of_the_upload_count() -> None:
    assert initial_digest("owner ann") != initial_digest("owner bob")
    assert digest([[item(0)]], "one") != digest([[item(0)]], "two")
    assert initial_digest("x") == initial_digest("x")
    assert len(initial_digest("x")) == len(digest([[item(0)]])) == 16


def test_the_digest_stays_the_same_from_release_to_release() -> None:
    """An upload that was interrupted before an update is continued after it."""
    assert initial_digest("upload").hex() == "9d9d1ace6e8db0fb2afee48d31eeb42f"
    assert digest([[item(0, '{"a":1}', "x"), item(1)]]).hex() == "4658012c319fa926c44dfb0485c8e4ff"
