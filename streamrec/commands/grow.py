"""`streamrec grow`: a stopped installation gets more partitions, and keeps what it learnt."""

import secrets
import time
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from streamrec.commands.options import say, settings_of
from streamrec.errors import (
    ConfigurationError,
    DamagedState,
    LogError,
    Overtaken,
    StoreError,
    UnknownVersion,
)

if TYPE_CHECKING:
    from streamrec.growth.plan import Plan
    from streamrec.inspection.growth_checks import Checks
    from streamrec.settings.sections import Settings
    from streamrec.transport.redis.growing import Growing
    from streamrec.transport.redis.keys import Shards
    from streamrec.transport.redis.store import Store

CREATED_SECONDS = 30.0


def grow(
    ctx: typer.Context,
    events: Annotated[int, typer.Option(min=0, help="Partitions of the events topic.")] = 0,
    updates: Annotated[int, typer.Option(min=0, help="Of the updates topic.")] = 0,
    items: Annotated[int, typer.Option(min=0, help="Of the items topic.")] = 0,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether it could be done, and why not.")
    ] = False,
    despite_keys: Annotated[
        bool,
        typer.Option("--despite-keys", help="Also where some events' key is not the user id."),
    ] = False,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Undo what was cut off before it made partitions.")
    ] = False,
) -> None:
    """Move a stopped installation to more partitions of its topics.

    Cut off at any moment, it goes on when it is run again. What is 0 stays as it is.
    """
    settings = settings_of(ctx)
    from streamrec.inspection.growth_checks import Checks
    from streamrec.inspection.stored_state import item_kinds
    from streamrec.transport.kafka.log_identity import log_identity
    from streamrec.transport.redis.growing import Growing
    from streamrec.transport.redis.store import Store

    kinds = item_kinds(settings)
    with closing(Store(settings.redis)) as store:
        growing = Growing(store, kinds)
        shards = growing.shards()
        if shards is None:
            raise ConfigurationError(
                "Redis holds no state: give the topics as many partitions as you like, e.g. with "
                "kafka-topics.sh --alter, and start `streamrec learn`"
            )
        checks = Checks(settings, store, shards, log_identity(settings.kafka))
        if strange := growing.strange():
            raise ConfigurationError(
                f"Redis has {strange[0]}, which this release does not know how to move: use the "
                "release that wrote it"
            )
        begun = growing.marker()
        work = _Work(settings, store, growing, checks, kinds)
        if abandon:
            work.abandon(begun)
            return
        plan = _plan(begun, shards, (events, updates, items), despite_keys)
        if check:
            work.check(plan, begun is not None)
        else:
            work.do(plan, begun is not None)


def _plan(
    begun: "Plan | None", shards: "Shards", asked: tuple[int, int, int], despite_keys: bool
) -> "Plan":
    """Return what is to be done; raises ConfigurationError unless it is more, and the same."""
    from streamrec.transport.redis.growing import new_plan

    have = begun.targets if begun else shards.counts
    wanted = tuple(want or there for want, there in zip(asked, have, strict=True))
    if begun is not None:
        if wanted != have:
            raise ConfigurationError(
                f"another growth is not done: run `{begun.command}` first, then this"
            )
        begun.despite_keys |= despite_keys
        return begun
    names = ("events", "updates", "items")
    for name, want, there in zip(names, wanted, have, strict=True):
        if want < there:
            raise ConfigurationError(
                f"--{name} {want}: there are {there} partitions, and Kafka takes none away"
            )
    if wanted == have:
        raise ConfigurationError(
            f"there are {have[0]} partitions of events, {have[1]} of updates and {have[2]} of "
            "items already: name a larger number, e.g. --events"
        )
    targets = wanted[0], wanted[1], wanted[2]
    return new_plan(shards, targets, secrets.token_hex(4), despite_keys)


class _Work:
    """The steps, in their order."""

    def __init__(
        self,
        settings: "Settings",
        store: "Store",
        growing: "Growing",
        checks: "Checks",
        kinds: tuple[str, ...],
    ) -> None:
        self._settings, self._store, self._growing = settings, store, growing
        self._checks, self._kinds, self._kafka = checks, kinds, settings.kafka
        self._shards = checks.shards

    def check(self, plan: "Plan", begun: bool) -> None:
        """Say what would be done, or raise why it cannot."""
        self._checks.fit(plan)
        if not begun:
            self._checks.ready(plan)
        typer.echo(f"it can be done: {_words(self._shards, plan)}")

    def abandon(self, plan: "Plan | None") -> None:
        """Undo a growth that has made no partitions; raises ConfigurationError where it has."""
        from streamrec.growth.plan import CREATE, SWITCH

        if plan is None:
            raise ConfigurationError("no growth was begun: there is nothing to abandon")
        if plan.step == SWITCH or (plan.step == CREATE and self._checks.has_more):
            raise ConfigurationError(
                f"there are new partitions already: the way is on, run `{plan.command}`"
            )
        self._growing.abandon(self._shards, plan)
        typer.echo("abandoned: all is as it was before")

    def do(self, plan: "Plan", begun: bool) -> None:
        """Do all steps that are not done."""
        from streamrec.growth.plan import COPY, CREATE, SWITCH

        self._checks.fit(plan)
        if not begun:
            self._checks.ready(plan)
            say(f"growing: {_words(self._shards, plan)}")
            self._growing.begin(plan)
        else:
            self._growing.take(plan, secrets.token_hex(4))
        if plan.step == COPY:
            self._copy(plan)
            self._growing.note(plan, CREATE)
        if plan.step == CREATE:
            say("making partitions")
            self._create(plan)
            self._growing.note(plan, SWITCH)
        say("putting the rows in their place")
        self._growing.check()
        self._growing.switch(plan, self._starts())
        what = _words(self._shards, plan) or plan.command
        self._growing.finish(self._shards, plan)
        typer.echo(f"done: {what}. Start all processes, then the producers.")
        if warning := self._checks.too_late(plan):
            say(f"warning: {warning}: they begin second histories. Who sent them?")

    def _copy(self, plan: "Plan") -> None:
        """Write all rows beside the old ones, and count again; leaves all as it was on a doubt."""
        from streamrec.transport.redis.dealing import Dealing
        from streamrec.transport.redis.declared import LOOK_SECONDS

        time.sleep(LOOK_SECONDS + 0.5)  # processes that cannot be seen end by themselves
        self._growing.seal(self._shards)
        self._growing.clear(plan)
        try:
            self._checks.all_learnt(plan)
            dealing = Dealing(self._store, self._shards, plan, self._settings.users)
            wrong = dealing.users(self._tell) if plan.events != self._shards.users else []
            if plan.updates != self._shards.items:
                wrong += dealing.items(self._kinds, self._tell)
            if wrong:
                raise DamagedState(
                    f"the recount finds: {'; '.join(wrong)}. Nothing was changed; is something "
                    "else writing to this Redis?"
                )
            if dealing.merged:
                say(f"{len(dealing.merged)} users had two rows, which are one now")
        except Overtaken:
            raise
        except (ConfigurationError, DamagedState, UnknownVersion):
            self._growing.abandon(self._shards, plan)
            raise
        except StoreError:
            say("Not done, and nothing is changed: run it again, or with --abandon.")
            raise

    def _create(self, plan: "Plan") -> None:
        """Make the partitions, and wait until Kafka tells of them."""
        from streamrec.transport.kafka.log_identity import log_identity
        from streamrec.transport.kafka.topics import admin_client
        from streamrec.transport.redis.keys import shard_letters

        wanted = dict(zip(shard_letters(self._kafka), plan.targets, strict=True))
        missing = {t: n for t, n in wanted.items() if self._checks.now.counts[t] < n}
        if missing:
            self._look_again(plan)
            with admin_client(self._kafka) as admin:
                admin.create_partitions(missing)
        deadline = time.monotonic() + CREATED_SECONDS
        while any(log_identity(self._kafka).counts[t] != n for t, n in wanted.items()):
            if time.monotonic() > deadline:
                raise LogError(f"Kafka does not tell of its new partitions: run `{plan.command}`")
            time.sleep(0.1)

    def _look_again(self, plan: "Plan") -> None:
        """Where messages came meanwhile, leave all as it was, while there is a way back."""
        try:
            self._checks.all_learnt(plan)
        except ConfigurationError:
            if not self._checks.has_more:
                self._growing.abandon(self._shards, plan)
                raise

    def _tell(self, words: str) -> None:
        """Say what is begun, unless another process has begun it."""
        self._growing.check()
        say(words)

    def _starts(self) -> dict[str, int]:
        """Return where each partition begins, by the name of its shard."""
        from streamrec.inspection.accounts import Ends

        with closing(Ends(self._kafka)) as ends:
            return {ends.shard(part): at for part, at in ends.starts.items()}


def _words(shards: "Shards", plan: "Plan") -> str:
    names = zip(("events", "updates", "items"), shards.counts, plan.targets, strict=True)
    return ", ".join(f"{name} {then} -> {now}" for name, then, now in names if then != now)
