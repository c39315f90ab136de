"""What goes wrong in one round of scripts/soak, and when.

When is said as progress: the share of the bytes of an undisturbed run that have passed between the tool and the server. So the same seed
gives the same faults at the same places, on a fast machine and on a slow one.
"""

import random
from dataclasses import dataclass

# How often each is chosen, of the sum.
KINDS = {
    "kill the server": 3,
    "kill the run": 3,
    "reset connections": 3,
    "interrupt the run": 1,
    "pause the server": 1,
    "stop the run": 2,
    "slow inserts": 1,
    "exchange the source": 1,
    "answer 200": 1,
    "answer 502": 1,
}
# Those that last.
LASTING = ("kill the server", "pause the server", "slow inserts", "answer 200", "answer 502")


@dataclass(frozen=True)
class Fault:
    at: float  # progress: 1.0 is about the end of an undisturbed run
    kind: str
    seconds: float  # how long it lasts

    def __str__(self):
        lasting = f" for {self.seconds:.1f} s" if self.kind in LASTING else ""
        return f"{self.kind}{lasting} at {self.at:.0%}"


def faults(seed, number):
    """The faults of the round of this number, in their order."""
    chance = random.Random(f"{seed}, round {number}")
    count = chance.randint(2, 6)
    chosen = chance.choices(list(KINDS), list(KINDS.values()), k=count)
    # Somewhat beyond the end, because what is repeated passes as well.
    moments = sorted(chance.uniform(0.0, 1.3) for _ in chosen)
    return [Fault(at, kind, chance.uniform(0.0, 2.0)) for at, kind in zip(moments, chosen)]
