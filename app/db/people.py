"""A site's own users: which author a token's `sub` is, which organizations he is a member of, whether he is an admin.

The tables are the site's, and only read. What they said is believed for a while; while the database is away nobody is
guessed at. Nor is anybody of whom two rows say different things: whoever is not one is nobody.
"""

import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import structlog

from app import values
from app.db.charsets import each_held, watch
from app.db.errors import UnfitError
from app.db.loader import Loader
from app.db.pool import Pool
from app.db.sql import Raw, bind, exact

log = structlog.get_logger(__name__)

_READ_AT_ONCE = 200
_REMEMBERED = 20_000
# Seconds that somebody unknown stays so: he may be signing up.
_UNKNOWN_MAX = 5.0

_EXACT = "CAST(CONVERT(%s USING utf8mb4) AS BINARY)"
_COLUMNS = """
SELECT COLUMN_NAME, DATA_TYPE, CHARACTER_SET_NAME IS NOT NULL FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s
"""

# To MariaDB JSON is a text with a check.
_JSON = """
SELECT 1 FROM information_schema.CHECK_CONSTRAINTS WHERE FALSE
  /*M! OR (CONSTRAINT_SCHEMA = DATABASE() AND TABLE_NAME = %s AND CHECK_CLAUSE = %s) */
"""

# Beside texts, what is written in one way only.
_PLAIN = {"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "uuid"}


class Reference(NamedTuple):
    """`table.column:value`: the rows of a table by one column, and what another one says in them."""

    table: str
    column: str
    value: str


def reference_of(text: str | None) -> Reference | None:
    """What AUTH_USER_LOOKUP or AUTH_ORG_LOOKUP says. Raises ValueError."""
    return None if text is None else Reference(*values.reference(text))


class Person(NamedTuple):
    """Who somebody is to the site. `organizations` is None where no table of members counts."""

    author_id: str
    organizations: tuple[str, ...] | None
    admin: bool


class _Known(NamedTuple):
    """What was found, and until when it counts."""

    person: Person | None
    until: float


class People:
    """Looks people up: `users` by their `sub`, `members` by their author's id, `admins` by a column of their row in
    `users` and what it says of them. What was found counts for `max_age` seconds.

    Every method raises DatabaseAwayError.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        users: Reference | None = None,
        members: Reference | None = None,
        admins: tuple[str, str] | None = None,
        max_age: float = 60.0,
    ) -> None:
        self._pool = pool
        watch(*(reference.table for reference in (users, members) if reference is not None))
        self._users = users
        self._members = members
        self._admins = admins
        self._max_age = max_age
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._loader = Loader(self._read, _READ_AT_ONCE)

    @property
    def is_asked(self) -> bool:
        """Whether anything is looked up."""
        return self._users is not None or self._members is not None

    async def check(self, pool: Pool) -> None:
        """Raises UnfitError where the schema lacks what is looked up, or has it in a type in which nobody would be
        found; `pool` is one that is open already."""
        wanted: dict[str, list[str]] = {}
        for reference in filter(None, (self._users, self._members)):
            wanted.setdefault(reference.table, []).extend([reference.column, reference.value])
        if self._users is not None and self._admins is not None:
            wanted[self._users.table].append(next(iter(self._admins)))
        for table, columns in wanted.items():
            there = {str(name): (str(kind), bool(text)) for name, kind, text in await pool.rows(bind(_COLUMNS, table))}
            lacking = [column for column in columns if column not in there]
            if lacking:
                what = f"the column {lacking[0]} of the table {table}" if there else f"the table {table}"
                raise UnfitError(f"the database lacks {what}, which AUTH_USER_LOOKUP or AUTH_ORG_LOOKUP names")
            for column in columns:
                await _refuse_unfit(pool, table, column, *there[column])

    async def find(self, sub: str) -> Person | None:
        """Who it is; None for somebody whom the site does not know."""
        known = self._known.get(sub)
        if known is not None and known.until > time.monotonic():
            return known.person
        return await self._loader.get(sub)

    async def find_now(self, subs: Sequence[str]) -> Mapping[str, Person | None]:
        """The same of many, read anew."""
        found: dict[str, Person | None] = {}
        for start in range(0, len(subs), _READ_AT_ONCE):
            found |= await self._read(subs[start : start + _READ_AT_ONCE])
        return found

    async def author_of(self, named: str) -> str:
        """The author's id of somebody who is named by a sender: as the site's column has him, or as he is named."""
        if self._users is None:
            return named
        return (await authors(self._pool, self._users, [named])).get(named, named)

    async def _read(self, subs: Sequence[str]) -> dict[str, Person | None]:
        authors_of = {sub: sub for sub in subs}
        admins: set[str] = set()
        if self._users is not None:
            rows = _agreed(await self._pool.rows(_select(self._users, subs, self._admins)))
            authors_of = {sub: author for sub, (author, _) in rows.items()}
            _, wanted_role = self._admins or ("", "")
            admins = {sub for sub, (_, role) in rows.items() if self._admins and role == wanted_role}
        members: dict[str, list[str]] = {}
        if self._members is not None and authors_of:
            wanted = [*authors_of.values()]
            for author, organization, _ in await self._pool.rows(_select(self._members, wanted, None)):
                if organization is not None:
                    members.setdefault(str(author), []).append(str(organization))
        found = {sub: self._person(authors_of.get(sub), members, admin=sub in admins) for sub in subs}
        self._remember(found)
        return found

    def _person(self, author: str | None, members: Mapping[str, list[str]], *, admin: bool) -> Person | None:
        if author is None:
            return None
        return Person(author, None if self._members is None else tuple(sorted(members.get(author, []))), admin)

    def _remember(self, found: Mapping[str, Person | None]) -> None:
        now = time.monotonic()
        for sub, person in found.items():
            age = self._max_age if person is not None else min(_UNKNOWN_MAX, self._max_age)
            self._known[sub] = _Known(person, now + age)
            self._known.move_to_end(sub)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


async def _refuse_unfit(pool: Pool, table: str, column: str, kind: str, is_text: bool) -> None:
    if await pool.rows(bind(_JSON, table, f"json_valid(`{column}`)")):
        kind, is_text = "json", False
    if not is_text and kind not in _PLAIN:
        raise UnfitError(
            f"the column {column} of the table {table}, which AUTH_USER_LOOKUP or AUTH_ORG_LOOKUP names, is of the "
            f"type {kind}, in which no id is ever found: it must be a text, a whole number or a uuid"
        )


async def authors(pool: Pool, users: Reference, named: Sequence[str]) -> dict[str, str]:
    """The authors' ids of those who are named as the site's column has them."""
    return author_rows(await pool.rows(select_authors(users, named)))


def select_authors(users: Reference, named: Sequence[str]) -> bytes:
    """The statement of which `author_rows` takes the rows."""
    return _select(users, named, None)


def author_rows(rows: Iterable[Sequence[object]]) -> dict[str, str]:
    """By their names, whoever has an id, and one only."""
    return {name: author for name, (author, _) in _agreed(rows).items()}


def _agreed(rows: Iterable[Sequence[object]]) -> dict[str, tuple[str, str]]:
    """By what somebody was looked for by: his author's id, and what the third column says of him. A column that is not
    unique may have several rows of one name: where they do not say the same, it is nobody's."""
    found: dict[str, set[tuple[str, str]]] = {}
    for name, author, third in rows:
        if author is not None:
            found.setdefault(str(name), set()).add((str(author), str(third)))
    for name, said in found.items():
        if len(said) > 1:
            log.warning("user_ambiguous", user=name, rows=len(said))
    return {name: next(iter(said)) for name, said in found.items() if len(said) == 1}


def _select(reference: Reference, keys: Sequence[str], also: tuple[str, str] | None) -> bytes:
    """Compared by bytes: to the site's collation other spellings are the same, and would be another's."""
    column, value = _quoted(reference.column), _quoted(reference.value)
    third = b"NULL" if also is None else _quoted(next(iter(also)))
    exactly = Raw(bind(_EXACT, Raw(column)))
    wanted = each_held(f"{reference.table}.{reference.column}", keys)
    return bind(
        "SELECT %s, %s, %s FROM %s WHERE %s IN %s AND %s IN %s",
        Raw(column), Raw(value), Raw(third), Raw(_quoted(reference.table)), Raw(column), wanted, exactly,
        [*map(exact, keys)],
    )  # fmt: skip


def _quoted(name: str) -> bytes:
    """An identifier, which the settings hold to letters, digits and underscores."""
    return b"`%b`" % name.encode()
