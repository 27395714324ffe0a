"""Which version of a split alias answers: by chance, or always the same one for the same key.

Weighted rendezvous hashing: every version draws a number from the key, the alias and itself, -share / ln(u) with u
uniform in (0, 1), and the greatest wins, which a version does with the probability of its share. Nothing else enters,
so when shares change, a key goes only to a version whose share has grown in proportion to that of the one it leaves:
of 0.9 and 0.1 changed to 0.8 and 0.2, one key in ten moves, none of them back, and that is the least there can be.
Source: Thaler and Ravishankar, IEEE/ACM Transactions on Networking 6, 1998; the weights as in Schindelhauer and
Schomaker, Weighted distributed hash tables, SPAA 2005.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Mapping

# So many that half a step below 1 is still a number below 1.
BITS = 52


def choose(shares: Mapping[int, float], *, alias: str, key: str | None) -> int:
    """The version, of those with a share each; without a key by chance."""
    if key is None:
        return random.choices(list(shares), list(shares.values()))[0]
    return max(shares, key=lambda version: -shares[version] / math.log(_draw(alias, key, version)))


def _draw(alias: str, key: str, version: int) -> float:
    """A number in (0, 1) that is a function of its arguments."""
    text = f"{alias}\n{version}\n{key}".encode("utf-8", "surrogatepass")
    drawn = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> (64 - BITS)
    return (drawn + 0.5) / 2.0**BITS
