"""What a scenario is: a fault on real parts, and what somebody who knows the truth would say about it.

    @scenario("api-stopped", "simple repair", truth="somebody stopped the api's container", causes=["shop-stack"],
              symptoms=["api-port", "api", "proxy"], words=["shop-api-1"], shows={"api": "fail"})
    def _(w):
        w.act("api", "stop")

The function is the fault. Further steps are functions of the world, too, and all but the fault happen in the control twin as well:
    history   ends a first life of the daemons, `history_days` ago as they believe: what they knew is kept (baselines, `since`). They still run when it begins
    prepare   before the daemons start: how the world stands
    noise     after everything was seen well: what happens beside the fault and has nothing to do with it
    after     after the fault showed, before the report is asked for (a recovery)
The world mends itself afterwards (World.mend); what it cannot know is appended to w.undo.
"""
import dataclasses
from typing import Callable, Optional

TAGS = ("simple", "compound", "slow_burn", "coincidence", "observer", "recovery", "repair")
TRAPS = ("coincidence", "compound", "observer")


@dataclasses.dataclass
class Scenario:
    name: str
    tags: tuple
    fault: Callable
    half: str
    truth: str = ""
    causes: tuple = ()             # one set for each true cause: any of its checks may be named for it
    symptoms: tuple = ()           # may never be a cause; should be explained
    may: tuple = ()                # not wrong as a further cause, and no hit: what is broken for itself and known since long
    undetermined: tuple = ()       # must stand there; with causes empty that is the whole answer
    words: tuple = ()              # must stand in the report, above what is not linked
    not_words: tuple = ()          # must not
    shows: dict = dataclasses.field(default_factory=dict)        # {check: state or reason} that has to be seen before the report is asked for
    noise_shows: dict = dataclasses.field(default_factory=dict)  # the same for noise
    standing: tuple = ()           # checks that are not well before the fault, in the twin, too
    checks: Callable = None        # further checks: of the world, a list of mappings
    history: Optional[Callable] = None
    history_days: float = 4.0
    history_shows: dict = dataclasses.field(default_factory=dict)
    prepare: Optional[Callable] = None
    noise: Optional[Callable] = None
    after: Optional[Callable] = None
    after_shows: dict = dataclasses.field(default_factory=dict)
    verdict: Optional[str] = None  # the report's verdict, where it matters


ALL = {}


def scenario(half, name, tags, *, causes=(), **options):
    """Decorates the fault. causes: a check for each true cause, or a set of those that would do."""
    tags = tuple(tags.split())
    assert not set(tags) - set(TAGS), f"{name}: unknown tags {set(tags) - set(TAGS)}"
    if name in ALL and ALL[name].half != half:
        name += "-" + half  # the halves are written without looking at each other
    assert name not in ALL, f"two scenarios are called {name}"
    groups = tuple(frozenset([one] if isinstance(one, str) else one) for one in causes)

    def take(fault):
        ALL[name] = Scenario(name, tags, fault, half, causes=groups, **options)
        return fault
    return take
