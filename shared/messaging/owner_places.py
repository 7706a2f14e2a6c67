"""Places for messages in memory, which owners share: each may hold as many as are free beside a reserve.

That is the dynamic threshold of shared buffers (Choudhury and Hahne, IEEE/ACM Transactions on Networking 1998): one
owner alone gets half of the places, and several get about equal shares. The reserve is for owners who have none.
"""

from collections import Counter


class OwnerPlaces:
    """Bounded numbers of messages and of bytes. A message of any size fits while its owner holds less than is free, and
    where its owner holds none, so that what others hold in bytes keeps no owner out."""

    def __init__(self, messages: int, size: int, reserve: int) -> None:
        """`messages`: number of places beside the `reserve`; `size`: bytes of all of them."""
        self._free, self._free_size, self._reserve = messages, size, reserve
        self._held: Counter[str] = Counter()
        self._sizes: Counter[str] = Counter()

    def take(self, owner: str, size: int) -> bool:
        """Take a place for a message of `size` bytes; False if the owner holds as much as is free."""
        held = self._held[owner]
        room = self._free if held else self._free + self._reserve
        if held >= room or (held and self._sizes[owner] >= self._free_size):
            self._forget(owner)
            return False
        self._held[owner] += 1
        self._sizes[owner] += size
        self._free -= 1
        self._free_size -= size
        return True

    def release(self, owner: str, size: int) -> None:
        """Give a place back."""
        self._held[owner] -= 1
        self._sizes[owner] -= size
        self._free += 1
        self._free_size += size
        self._forget(owner)

    def has(self, owner: str) -> bool:
        """True if the owner holds a place."""
        return owner in self._held

    def _forget(self, owner: str) -> None:
        if not self._held[owner]:
            del self._held[owner], self._sizes[owner]
