"""A batch of any size is dispatched from a bounded memory: each item once, whatever is parked or added meanwhile."""

from collections import Counter
from collections.abc import Mapping
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.domain.scheduling.batch_queue import BatchQueue
from services.dispatcher.domain.scheduling.partition_queue import PageRange, PageSlice
from services.dispatcher.domain.scheduling.scheduler import Scheduler
from tests.support.growth import assert_linear
from tests.unit.dispatcher.test_scheduler import Fixed

BATCH = UUID(int=1)
READ = 5
"""Segments in one read."""


class Table:
    """The rows of one batch: partition, size and dispatched items by place; and the reads of its queue from them."""

    def __init__(self, rows: Mapping[tuple[int, int], tuple[str, int]], most: int) -> None:
        self.rows = {place: (partition, size, 0) for place, (partition, size) in rows.items()}
        self.most = most
        self.scheduler, self.queue = Scheduler(), BatchQueue(BATCH, "a", "normal")
        self.scheduler.add_batch(self.queue)
        self.queue.mark_backlog()
        self.now = 0.0
        self.dispatched: Counter[tuple[int, int, int]] = Counter()

    def add(self, place: tuple[int, int], partition: str, size: int) -> None:
        self.rows[place] = (partition, size, 0)
        self.queue.mark_backlog()

    def read(self, parked: frozenset[str], *, is_starved: bool) -> None:
        if is_starved and self.queue.slice_count >= self.most:
            self.queue.make_room(READ)
        self.queue.backlog.begin_read()
        waiting = sorted(place for place, (_, size, taken) in self.rows.items() if taken < size)
        places = [place for place in waiting if place > self.queue.backlog.position][:READ]
        rows = [(self.rows[p][0], PageSlice(*p, self.rows[p][1], self.rows[p][2])) for p in places]
        self.queue.load(rows, self.most, parked, self.now, is_starved=is_starved, is_end=len(rows) < READ)

    def step(self, parked: frozenset[str], chunk: int = 2, picks: int = 4) -> int:
        """Dispatch some chunks, then read if the queue wants more; return the number of chunks."""
        budget = Fixed(chunk, parked)
        self.scheduler.unpark_all()
        made = 0
        while made < picks and (pick := self.scheduler.pick(budget)):
            made += 1
            source = pick.source
            assert isinstance(source, PageRange)
            partition, size, taken = self.rows[source.page, source.segment]
            assert (pick.partition, taken) == (partition, source.first)
            self.rows[source.page, source.segment] = (partition, size, source.first + source.count)
            self.dispatched.update((source.page, source.segment, source.first + i) for i in range(source.count))
        for _, is_starved in self.scheduler.find_wanting(budget, self.now, is_exhausted=made < picks):
            self.read(parked, is_starved=is_starved)
        assert self.queue.slice_count <= self.most
        return made

    def drain(self) -> None:
        """Dispatch everything; nothing is parked, and time passes."""
        for _ in range(20 * len(self.rows) + 20):
            self.step(frozenset())
            self.now += 2.0

    @property
    def all_items(self) -> Counter[tuple[int, int, int]]:
        return Counter((*place, i) for place, (_, size, _) in self.rows.items() for i in range(size))


rows = st.dictionaries(
    st.tuples(st.integers(0, 8), st.integers(0, 3)), st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 5))
)
steps = st.lists(
    st.tuples(
        st.frozensets(st.sampled_from("abcdefgh")),
        st.integers(1, 4),
        st.none() | st.tuples(st.integers(0, 12), st.integers(4, 6), st.sampled_from("abcxyz"), st.integers(1, 3)),
    ),
    max_size=30,
)


@given(rows, steps, st.integers(1, 12))
def test_each_item_is_dispatched_once_from_a_bounded_memory(
    rows: dict[tuple[int, int], tuple[str, int]],
    steps: list[tuple[frozenset[str], int, tuple[int, int, str, int] | None]],
    most: int,
) -> None:
    table = Table(rows, most)
    for parked, chunk, late in steps:
        table.step(parked, chunk)
        table.now += 0.3
        if late is not None and late[:2] not in table.rows:
            table.add(late[:2], *late[2:])
    table.drain()
    assert table.dispatched == table.all_items
    assert not table.queue.backlog.has_more


def test_partitions_behind_parked_ones_are_found() -> None:
    parked = frozenset(f"slow{n}" for n in range(60))
    rows = {(0, n): (name, 1) for n, name in enumerate(sorted(parked))}
    table = Table(rows | {(1, 0): ("quick", 3)}, most=10)
    for _ in range(60):
        table.step(parked)
        table.now += 1.0
    assert set(table.dispatched) == {(1, 0, i) for i in range(3)}
    table.drain()
    assert table.dispatched == table.all_items


def test_partitions_of_a_large_batch_interleave() -> None:
    rows = {(page, n): (f"host{n}", 1) for page in range(50) for n in range(10)}
    table = Table(rows, most=40)
    table.step(frozenset())
    for _ in range(25):
        table.step(frozenset())
    served = Counter(segment for _, segment, _ in table.dispatched)
    assert max(served.values()) - min(served.values()) <= 4


def test_a_batch_that_has_read_everything_reads_no_more() -> None:
    table = Table({(0, 0): ("a", 100)}, most=10)
    table.step(frozenset())
    assert not table.queue.backlog.has_more
    reads = table.queue.backlog.reads
    for _ in range(5):
        table.step(frozenset())
    assert table.queue.backlog.reads == reads


def test_memory_and_time_of_a_batch_grow_with_its_partitions_no_faster_than_these() -> None:
    def run(partitions: int) -> None:
        most = 64
        scheduler, queue = Scheduler(), BatchQueue(BATCH, "a", "normal")
        scheduler.add_batch(queue)
        queue.mark_backlog()
        budget, position, largest = Fixed(1), 0, 0
        while position < partitions or queue.partition_queues:
            while scheduler.pick(budget):
                pass
            if scheduler.find_wanting(budget, 0.0, is_exhausted=True):
                queue.backlog.begin_read()
                names = range(position, min(position + most, partitions))
                rows = [(f"host{n}", PageSlice(n, 0, 1)) for n in names]
                queue.load(rows, most, (), 0.0, is_starved=False, is_end=len(rows) < most)
                position += len(rows)
            largest = max(largest, len(queue.partition_queues))
        assert largest <= most

    assert_linear(run, 2000)


def test_vain_picks_take_no_longer_the_more_partitions_are_parked() -> None:
    def pick_in_vain(count: int) -> None:
        scheduler, queue = Scheduler(), BatchQueue(BATCH, "a", "normal")
        scheduler.add_batch(queue)
        for number in range(count):
            queue.partition_queue(f"host{number}").slices.append(PageSlice(0, number, 1))
        nothing = Fixed(0)
        for _ in range(count):
            assert scheduler.pick(nothing) is None
        assert nothing.asked == count, "each partition is asked for once"
        scheduler.unpark(["host7"])
        assert scheduler.pick(Fixed(1)) is not None

    assert_linear(pick_in_vain, 2000)
