"""The metadata of a batch is JSON that every service can store and give back."""

import pytest
from pydantic import ValidationError

from batchyard_contracts.v1.commands import BatchSubmit

ITEMS = '"workload":"noop","items":[{"payload":{}}]'


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ('{"a":{"b":[123456789012345678901234567890]}}', "integers of up to 64 bits; write larger ones as text"),
        ('{"a":-9223372036854775809}', "integers of up to 64 bits"),
        ('{"a":1e999}', "a number that is not finite"),
        ('{"a":[NaN]}', "a number that is not finite"),
        ('{"a":"\\u0000"}', "U+0000"),
        ('{"a":[[[[[[[[1]]]]]]]]}', "at most 8 levels"),
    ],
)
def test_values_that_no_service_can_store_are_refused_in_words(metadata: str, words: str) -> None:
    with pytest.raises(ValidationError, match="metadata") as refused:
        BatchSubmit.model_validate_json(f'{{{ITEMS},"metadata":{metadata}}}')
    assert words in str(refused.value)


def test_the_largest_numbers_are_taken_as_they_are() -> None:
    text = '{"a":[9223372036854775807,-9223372036854775808,1e308,true,null]}'
    command = BatchSubmit.model_validate_json(f'{{{ITEMS},"metadata":{text}}}')
    assert command.metadata == {"a": [2**63 - 1, -(2**63), 1e308, True, None]}
