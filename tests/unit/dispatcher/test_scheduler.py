"""Who goes next: priority, then owners, batches and partitions in turn; and nothing lost or given twice."""

from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.values import Priority
from services.dispatcher.domain.scheduler import LOW_SHARE, Again, BatchQueue, Pick, Range, Scheduler, Sizes, Slice


class Fixed:
    """The same chunk size for all, none for the blocked."""

    def __init__(self, size: int, blocked: frozenset[str] = frozenset()) -> None:
        self.size, self.blocked = size, blocked
        self.full, self.asked = False, 0

    def allowed(self, _: UUID, partition: str) -> int:
        self.asked += 1
        return 0 if partition in self.blocked else self.size


def batch(
    scheduler: Scheduler, number: int, owner: str = "a", priority: Priority = "normal", **hosts: int
) -> BatchQueue:
    queue = BatchQueue(UUID(int=number), owner, priority)
    scheduler.join(queue)
    for segment, (host, size) in enumerate(hosts.items()):
        queue.lane(host).slices.append(Slice(0, segment, size))
    return queue


def many_hosts(scheduler: Scheduler, hosts: int) -> None:
    queue = batch(scheduler, 1)
    for number in range(hosts):
        queue.lane(f"host{number}").slices.append(Slice(0, number, 1))


def drain(scheduler: Scheduler, sizes: Sizes) -> list[Pick]:
    picks = []
    while pick := scheduler.pick(sizes):
        picks.append(pick)
    return picks


def test_hosts_of_a_batch_interleave() -> None:
    scheduler = Scheduler()
    batch(scheduler, 1, x=3, y=3, z=3)
    assert [p.partition for p in drain(scheduler, Fixed(1))] == ["x", "y", "z"] * 3


def test_a_large_batch_cannot_shut_out_a_small_one() -> None:
    scheduler = Scheduler()
    batch(scheduler, 1, x=1000)
    batch(scheduler, 2, x=3)
    served = [p.batch_id.int for p in drain(scheduler, Fixed(1))]
    assert served[:6] == [1, 2, 1, 2, 1, 2]


def test_owners_share_evenly_however_many_batches_they_have() -> None:
    scheduler = Scheduler()
    for number in range(1, 10):
        batch(scheduler, number, "many", x=100)
    batch(scheduler, 10, "one", x=100)
    first = [p.batch_id.int == 10 for p in drain(scheduler, Fixed(1))[:100]]
    assert sum(first) == 50


def test_priority_goes_first_and_low_keeps_its_share() -> None:
    scheduler = Scheduler()
    batch(scheduler, 1, priority="immediate", x=1000)
    batch(scheduler, 2, priority="low", x=1000)
    served = [p.priority for p in drain(scheduler, Fixed(1))[: 10 * LOW_SHARE]]
    assert Counter(served) == {"immediate": 10 * LOW_SHARE - 10, "low": 10}


@given(misses=st.lists(st.integers(0, 3), min_size=10 * LOW_SHARE, max_size=10 * LOW_SHARE))
def test_low_keeps_its_share_whatever_picks_come_to_nothing_in_between(misses: list[int]) -> None:
    scheduler = Scheduler()
    batch(scheduler, 1, x=1000)
    batch(scheduler, 2, priority="low", x=1000)
    served: Counter[Priority] = Counter()
    for count in misses:
        for _ in range(count):
            assert scheduler.pick(Fixed(0)) is None
        pick = scheduler.pick(Fixed(1))
        assert pick
        served[pick.priority] += 1
    assert served["low"] == 10


def test_nobody_is_asked_while_the_window_is_full() -> None:
    scheduler = Scheduler()
    many_hosts(scheduler, 100)
    sizes = Fixed(1)
    sizes.full = True
    assert (scheduler.pick(sizes), sizes.asked) == (None, 0)
    sizes.full = False
    assert len(drain(scheduler, sizes)) == 100


def test_a_blocked_partition_and_a_paused_batch_wait_and_others_go_on() -> None:
    scheduler = Scheduler()
    batch(scheduler, 1, x=2, y=2)
    batch(scheduler, 2, y=2).paused = True
    assert {p.partition for p in drain(scheduler, Fixed(5, frozenset({"x"})))} == {"y"}
    assert drain(scheduler, Fixed(5, frozenset({"x"}))) == []
    assert [p.source for p in drain(scheduler, Fixed(5))] == [Range(0, 0, 0, 2)]


def test_what_runs_again_goes_before_what_did_not_run_and_keeps_its_attempt() -> None:
    scheduler = Scheduler()
    queue = batch(scheduler, 1, x=2)
    queue.lane("x").again.append(Again(3, (7, 8, 9)))
    assert [p.source for p in drain(scheduler, Fixed(2))] == [Again(3, (7, 8)), Again(3, (9,)), Range(0, 0, 0, 2)]


def test_a_batch_that_leaves_takes_its_items_along() -> None:
    scheduler = Scheduler()
    batch(scheduler, 1, x=5)
    batch(scheduler, 2, x=1)
    scheduler.leave(UUID(int=1))
    assert [p.batch_id.int for p in drain(scheduler, Fixed(9))] == [2]
    assert len(scheduler) == 1


def test_a_new_priority_moves_the_batch() -> None:
    scheduler = Scheduler()
    batch(scheduler, 1, x=1)
    batch(scheduler, 2, x=1)
    scheduler.reprioritize(UUID(int=2), "immediate")
    assert [(p.batch_id.int, p.priority) for p in drain(scheduler, Fixed(1))] == [(2, "immediate"), (1, "normal")]


@given(
    batches=st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.sampled_from(["immediate", "normal", "low"]),
            st.dictionaries(st.sampled_from(["x", "y", "z"]), st.integers(1, 30), min_size=1),
        ),
        max_size=6,
    ),
    size=st.integers(1, 12),
    returns=st.lists(st.integers(0, 12), max_size=20),
)
def test_every_item_goes_out_once_also_when_some_are_put_back(
    batches: list[tuple[str, Priority, dict[str, int]]], size: int, returns: list[int]
) -> None:
    scheduler = Scheduler()
    for number, (owner, priority, hosts) in enumerate(batches):
        batch(scheduler, number, owner, priority, **hosts)
    seen: Counter[tuple[int, int, int]] = Counter()
    while pick := scheduler.pick(Fixed(size)):
        source = pick.source
        assert isinstance(source, Range)
        if returns and (kept := min(returns.pop(), source.count)) < source.count:
            queue = scheduler.batch(pick.batch_id)
            assert queue is not None
            rest = Range(source.page, source.segment, source.first + kept, source.count - kept)
            queue.lane(pick.partition).put_back(rest)
            source = Range(source.page, source.segment, source.first, kept)
        seen.update((pick.batch_id.int, source.segment, source.first + i) for i in range(source.count))
    wanted = {
        (n, s, i)
        for n, (_, _, hosts) in enumerate(batches)
        for s, size_ in enumerate(hosts.values())
        for i in range(size_)
    }
    assert set(seen) == wanted
    assert set(seen.values()) <= {1}
