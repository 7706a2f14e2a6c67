"""Client of the HTTP API, which needs the extra `[http]`: synchronous, or asynchronous with the same methods.

    with HttpClient("http://127.0.0.1:8000") as client:
        receipt = client.submit("noop", [{"n": 7}])
        batch = client.wait(receipt.batch_id)
        for item in client.results(receipt.batch_id):
            print(item.ordinal, item.result)

    async with AsyncHttpClient("http://127.0.0.1:8000", token="…") as client:
        ...

It raises these errors:

    HttpClientError
     +- HttpProblem     the server refused the request: status, code, detail, line
     +- NotReachable    the server does not answer
     +- BatchUnfinished the batch has not finished within the given time
"""

from batchyard_contracts.http.client import AsyncHttpClient, HttpClient
from batchyard_contracts.http.errors import BatchUnfinished, HttpClientError, HttpProblem, NotReachable
from batchyard_contracts.http.operations import TaggedBatch

__all__ = [
    "AsyncHttpClient",
    "BatchUnfinished",
    "HttpClient",
    "HttpClientError",
    "HttpProblem",
    "NotReachable",
    "TaggedBatch",
]
