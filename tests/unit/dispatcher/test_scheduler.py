"""The scheduler picks by priority, weights and partitions, and dispatches every item once."""

from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.values import Priority
from services.dispatcher.domain.scheduling.batch_queue import BatchQueue, DispatchBudget, Pick
from services.dispatcher.domain.scheduling.owner_weights import OwnerWeights
from services.dispatcher.domain.scheduling.partition_queue import PageRange, PageSlice, RetryRange
from services.dispatcher.domain.scheduling.scheduler import LOW_SHARE, Scheduler


class Fixed:
    """A budget with one chunk size for all partitions and none for blocked ones."""

    def __init__(self, size: int, blocked: frozenset[str] = frozenset()) -> None:
        self.size, self.blocked = size, blocked
        self.closed, self.asked = False, 0

    def is_full(self, _: Priority) -> bool:
        return self.closed

    def batch_limit(self, _: UUID) -> int:
        return 1000

    def partition_limit(self, batch_id: UUID, partition: str) -> int:
        self.asked += 1
        return 0 if partition in self.blocked else self.size


def batch(
    scheduler: Scheduler, number: int, owner: str = "a", priority: Priority = "normal", **hosts: int
) -> BatchQueue:
    queue = BatchQueue(UUID(int=number), owner, priority)
    scheduler.add_batch(queue)
    for segment, (host, size) in enumerate(hosts.items()):
        queue.partition_queue(host).slices.append(PageSlice(0, segment, size))
    return queue


def many_hosts(scheduler: Scheduler, hosts: int) -> None:
    queue = batch(scheduler, 1)
    for number in range(hosts):
        queue.partition_queue(f"host{number}").slices.append(PageSlice(0, number, 1))


def drain(scheduler: Scheduler, sizes: DispatchBudget) -> list[Pick]:
    picks = []
    while pick := scheduler.pick(sizes):
        picks.append(pick)
    return picks


def test_hosts_of_a_batch_interleave() -> None:
    scheduler = Scheduler()
    batch(scheduler, 1, x=3, y=3, z=3)
    assert [p.partition for p in drain(scheduler, Fixed(1))] == ["x", "y", "z"] * 3


def test_large_batch_does_not_block_a_small_one() -> None:
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


def test_high_priority_goes_first_and_low_keeps_its_share() -> None:
    scheduler = Scheduler()
    batch(scheduler, 1, priority="immediate", x=1000)
    batch(scheduler, 2, priority="low", x=1000)
    served = [p.priority for p in drain(scheduler, Fixed(1))[: 10 * LOW_SHARE]]
    assert Counter(served) == {"immediate": 10 * LOW_SHARE - 10, "low": 10}


@given(misses=st.lists(st.integers(0, 3), min_size=10 * LOW_SHARE, max_size=10 * LOW_SHARE))
def test_low_keeps_its_share_despite_empty_picks(misses: list[int]) -> None:
    scheduler = Scheduler()
    batch(scheduler, 1, x=1000)
    batch(scheduler, 2, priority="low", x=1000)
    served: Counter[Priority] = Counter()
    for count in misses:
        for _ in range(count):
            assert scheduler.pick(Fixed(0)) is None
            scheduler.unpark_all()
        pick = scheduler.pick(Fixed(1))
        assert pick
        served[pick.priority] += 1
    assert served["low"] == 10


def test_no_batch_is_asked_while_the_window_is_full() -> None:
    scheduler = Scheduler()
    many_hosts(scheduler, 100)
    sizes = Fixed(1)
    sizes.closed = True
    assert (scheduler.pick(sizes), sizes.asked) == (None, 0)
    sizes.closed = False
    assert len(drain(scheduler, sizes)) == 100


def test_blocked_partition_and_paused_batch_wait_while_others_run() -> None:
    scheduler = Scheduler()
    batch(scheduler, 1, x=2, y=2)
    batch(scheduler, 2, y=2).pause()
    assert {p.partition for p in drain(scheduler, Fixed(5, frozenset({"x"})))} == {"y"}
    assert drain(scheduler, Fixed(5, frozenset({"x"}))) == []
    assert drain(scheduler, Fixed(5)) == [], "a parked partition is not asked for"
    scheduler.unpark(["x"])
    assert [p.source for p in drain(scheduler, Fixed(5))] == [PageRange(0, 0, 0, 2)]


def test_retries_go_first_and_keep_their_attempt() -> None:
    scheduler = Scheduler()
    queue = batch(scheduler, 1, x=2)
    queue.partition_queue("x").retries.append(RetryRange(3, (7, 8, 9)))
    assert [p.source for p in drain(scheduler, Fixed(2))] == [
        RetryRange(3, (7, 8)),
        RetryRange(3, (9,)),
        PageRange(0, 0, 0, 2),
    ]


def test_removed_batch_takes_its_items_along() -> None:
    scheduler = Scheduler()
    batch(scheduler, 1, x=5)
    batch(scheduler, 2, x=1)
    scheduler.remove_batch(UUID(int=1))
    assert [p.batch_id.int for p in drain(scheduler, Fixed(9))] == [2]
    assert len(scheduler) == 1


def test_new_priority_moves_the_batch() -> None:
    scheduler = Scheduler()
    batch(scheduler, 1, x=1)
    batch(scheduler, 2, x=1)
    scheduler.reprioritize(UUID(int=2), "immediate")
    assert [(p.batch_id.int, p.priority) for p in drain(scheduler, Fixed(1))] == [(2, "immediate"), (1, "normal")]


class Sized(Fixed):
    """A budget with a chunk size for each batch."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__(1)
        self.sizes = sizes

    def partition_limit(self, batch_id: UUID, partition: str) -> int:
        return self.sizes[batch_id.int]


@given(
    weights=st.lists(st.integers(1, 10), min_size=2, max_size=5),
    sizes=st.lists(st.integers(1, 50), min_size=5, max_size=5),
    data=st.data(),
)
def test_waiting_batches_share_items_by_weight_for_any_chunk_sizes(
    weights: list[int], sizes: list[int], data: st.DataObject
) -> None:
    """Two batches that always wait never differ by more than their largest chunks (Goyal 1996, theorem 1)."""
    of_owners = data.draw(st.booleans())
    scheduler = Scheduler(OwnerWeights({str(n): w for n, w in enumerate(weights)} if of_owners else None))
    for number, weight in enumerate(weights):
        queue = batch(scheduler, number, str(number) if of_owners else "a", x=100_000)
        if not of_owners:
            scheduler.set_weight(queue.batch_id, weight)
    served = [0.0] * len(weights)
    for _ in range(data.draw(st.integers(1, 300))):
        pick = scheduler.pick(Sized(sizes))
        assert pick
        served[pick.batch_id.int] += pick.source.count
        for a, weight_a in enumerate(weights):
            for b, weight_b in enumerate(weights[:a]):
                apart = abs(served[a] / weight_a - served[b] / weight_b)
                assert apart <= sizes[a] / weight_a + sizes[b] / weight_b + 1e-6


def test_a_changed_weight_of_an_owner_holds_for_the_items_that_follow() -> None:
    weights = OwnerWeights()
    scheduler = Scheduler(weights)
    batch(scheduler, 0, "a", x=100_000)
    batch(scheduler, 1, "b", x=100_000)

    def served(count: int) -> list[int]:
        found = [0, 0]
        for _ in range(count):
            pick = scheduler.pick(Sized([10, 10]))
            assert pick
            found[pick.batch_id.int] += 1
        return found

    assert served(100) == [50, 50]
    weights.set("a", 3.0)
    scheduler.apply_owner_weight("a")
    assert served(400)[0] in range(298, 303)
    weights.set("a", None)
    scheduler.apply_owner_weight("a")
    assert served(100)[0] in range(48, 53)


def test_owner_with_few_items_gets_its_half_until_done() -> None:
    scheduler = Scheduler()
    batch(scheduler, 0, "large", x=100_000)
    sizes = Sized([100, 1])
    for _ in range(100):  # some time with large chunks
        scheduler.pick(sizes)
    batch(scheduler, 1, "small", x=1000)
    served = [0, 0]
    while served[1] < 1000:
        pick = scheduler.pick(sizes)
        assert pick
        served[pick.batch_id.int] += pick.source.count
        assert abs(served[0] - served[1]) <= 100


def test_late_or_blocked_batch_gets_no_compensation() -> None:
    scheduler = Scheduler()
    for number in (1, 2):
        batch(scheduler, number, str(number), x=10_000)
    for _ in range(1000):
        scheduler.pick(Fixed(1))
    held = scheduler.batch_queue(UUID(int=2))
    assert held
    held.pause()
    for _ in range(1000):
        scheduler.pick(Fixed(1))
    held.resume()
    batch(scheduler, 3, "3", x=10_000)
    served = Counter(p.batch_id.int for _ in range(300) if (p := scheduler.pick(Fixed(1))))
    assert set(served.values()) == {100}


def test_returning_batch_keeps_its_virtual_time() -> None:
    scheduler = Scheduler()
    batch(scheduler, 1, "steady", x=10_000)
    trickle = batch(scheduler, 2, "trickle")
    served: Counter[int] = Counter()
    for page in range(500):
        if not trickle.partition_queues:
            trickle.partition_queue("x").slices.append(PageSlice(page, 0, 10))
        pick = scheduler.pick(Fixed(10 if page % 2 else 1))
        assert pick
        served[pick.batch_id.int] += pick.source.count
    assert abs(served[1] - served[2]) <= 20


def test_low_keeps_its_share_in_items_with_large_chunks() -> None:
    scheduler = Scheduler()
    batch(scheduler, 0, x=100_000)
    batch(scheduler, 1, priority="low", x=100_000)
    served: Counter[int] = Counter()
    while sum(served.values()) < 40_000:
        pick = scheduler.pick(Sized([1, 100]))
        assert pick
        served[pick.batch_id.int] += pick.source.count
    assert abs(served[1] - 40_000 / LOW_SHARE) <= 100


def test_batch_without_items_is_not_asked_again() -> None:
    scheduler = Scheduler()
    for number in range(1000):
        batch(scheduler, number, x=1)
    drain(scheduler, Fixed(1))
    last = batch(scheduler, 1000, x=2)
    assert [len(owners) for owners in scheduler._owners.values()] == [0, 1, 0]
    last.pause()
    assert scheduler.pick(Fixed(1)) is None
    last.resume()
    assert len(drain(scheduler, Fixed(1))) == 2


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
)
def test_every_item_is_dispatched_once(batches: list[tuple[str, Priority, dict[str, int]]], size: int) -> None:
    scheduler = Scheduler()
    for number, (owner, priority, hosts) in enumerate(batches):
        batch(scheduler, number, owner, priority, **hosts)
    seen: Counter[tuple[int, int, int]] = Counter()
    while pick := scheduler.pick(Fixed(size)):
        source = pick.source
        assert isinstance(source, PageRange)
        seen.update((pick.batch_id.int, source.segment, source.first + i) for i in range(source.count))
    wanted = {
        (n, s, i)
        for n, (_, _, hosts) in enumerate(batches)
        for s, size_ in enumerate(hosts.values())
        for i in range(size_)
    }
    assert set(seen) == wanted
    assert set(seen.values()) <= {1}


class Bounded(Fixed):
    """A budget that admits nothing of some batches."""

    def __init__(self, *closed: int) -> None:
        super().__init__(5)
        self.closed_batches = {UUID(int=number) for number in closed}

    def batch_limit(self, batch_id: UUID) -> int:
        return 0 if batch_id in self.closed_batches else 3


def test_held_back_batch_keeps_its_items_while_others_run() -> None:
    scheduler = Scheduler()
    batch(scheduler, 1, x=4)
    batch(scheduler, 2, x=4)
    assert [(p.batch_id.int, p.source.count) for p in drain(scheduler, Bounded(1))] == [(2, 3), (2, 1)]
    assert [(p.batch_id.int, p.source.count) for p in drain(scheduler, Bounded())] == [(1, 3), (1, 1)]


def test_commands_for_a_removed_batch_change_nothing() -> None:
    scheduler = Scheduler()
    gone = batch(scheduler, 1, x=1)
    batch(scheduler, 2, x=1)
    assert scheduler.remove_batch(gone.batch_id) is gone
    assert scheduler.remove_batch(gone.batch_id) is None
    scheduler.set_weight(gone.batch_id, 9)
    scheduler.reprioritize(gone.batch_id, "immediate")
    gone.pause()
    gone.resume()
    gone.partition_queue("y").slices.append(PageSlice(1, 0, 5))
    assert (gone.weight, gone.priority, gone.paused, scheduler.batch_queue(gone.batch_id)) == (1, "normal", False, None)
    assert [p.batch_id.int for p in drain(scheduler, Fixed(1))] == [2]


def test_weight_set_on_an_empty_batch_applies_to_later_items() -> None:
    scheduler = Scheduler()
    idle = batch(scheduler, 1)
    scheduler.set_weight(idle.batch_id, 4)
    idle.partition_queue("x").slices.append(PageSlice(0, 0, 1000))
    batch(scheduler, 2, x=1000)
    served = Counter(p.batch_id.int for _ in range(500) if (p := scheduler.pick(Fixed(1))))
    assert served == {1: 400, 2: 100}


def test_low_gets_no_compensation_for_time_without_items() -> None:
    scheduler = Scheduler()
    batch(scheduler, 1, x=1000)
    for _ in range(10 * LOW_SHARE):
        scheduler.pick(Fixed(1))
    batch(scheduler, 2, priority="low", x=1000)
    served = [p.priority for _ in range(LOW_SHARE) if (p := scheduler.pick(Fixed(1)))]
    assert served.index("low") == LOW_SHARE - 1
