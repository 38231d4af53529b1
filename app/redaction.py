"""Secrets in texts that others wrote: found by their forms, and replaced by `…`. Pure.

A backend passes on what its libraries said, `str(error)`, and that holds addresses with keys, headers, connection
strings. Found is a secret by what it is called, by how it is carried, or by how it begins; one that looks like any
word and has no name before it is not.
"""

import re
from typing import Any

MARK = "…"

_QUOTE = r"\\{0,3}[\"'`]"  # also where the text is JSON within JSON
_EQUALS = r"(?:\s{0,3}=\s{0,3}|%3[dD]|\\u003[dD]|&\#61;)"
# What is called so is a secret where it is set to something, as in a query or a connection string.
_SET = r"(?i:secret|token|passw(?:or)?d|passwd|passphrase|pwd|credentials?|signature|\bsig|key(?:id)?)"
# These are where a value only follows; "for key 'x'" is a database's.
_STRONG = (
    r"(?i:secret|token|passw(?:or)?d|passwd|passphrase|signature|credentials?|\bjwt|mot[ ]de[ ]passe|jeton"
    r"|(?:api|access|account|secret|private|shared|subscription)[ _-]?key(?:[ _-]?id)?)"
)
# With a digit, or so long that no word of a sentence is. The first is looked for no farther than a token goes on being
# one by its looks, so that a long word takes no time for each of its parts.
_NO_WORD = r"(?:(?=[^\s\"'<>&;,…]{0,64}\d)[^\s\"'<>&;,…]{6,}|[^\s\"'<>&;,…]{16,})"

_FORMS = re.compile(
    rf"""
      (?P<address>://)(?:
          [^\s/?\#@"'<>]*@(?:[^\s/?\#@"'<>]*@)*
        | [^\s/?\#@:"'<>]*:(?!\d{{1,5}}(?:[/?\#\s]|$))[^\s@"'<>]{{0,128}}@)
    | (?P<header>(?i:authorization)(?:{_QUOTE})?\s{{0,3}}[:=]\s{{0,3}}(?:{_QUOTE})?)
      (?:[\w-]{{1,30}}\s{{1,3}})?[^\s"'<>]+
    | (?P<cookies>(?i:cookie2?)(?:{_QUOTE})?\s{{0,3}}:\s{{0,3}}(?:{_QUOTE})?)[^\n"']+
    | (?P<scheme>\b(?i:bearer|basic|digest|negotiate|hmac)\s{{1,3}}){_NO_WORD}
    | (?P<quoted>{_SET}{_QUOTE}\s{{0,3}}[:=]\s{{0,3}}[bur]?(?P<escape>\\{{0,3}})(?P<quote>["'`]))
      (?:(?!(?P=escape)(?P=quote))(?:\\.|.))+
    | (?P<set>{_SET}{_EQUALS})(?:"[^"\n]*(?:"|(?=\n)|$)|'[^'\n]*(?:'|(?=\n)|$)|[^\s&;"'<>])+
    | (?P<named>{_STRONG}(?:{_QUOTE})?
      (?:\s{{0,3}}:\s{{0,3}}|\s{{1,3}}(?:(?i:is|was|provided|given)\s{{0,3}}:?\s{{1,3}})?)(?:{_QUOTE}|\()?){_NO_WORD}
    | \bey[JK][\w-]{{8,}}\.[\w.-]*
    | \b(?i:whsec)_[\w+/=-]+
    | \b(?:gh[oprsu]_\w{{16,}}|github_pat_\w+|glpat-[\w-]+|[rs]k_(?:live|test)_\w+|sk-[\w-]{{16,}}|xox[a-z]-[\w-]+)
    | \b(?:(?:AKIA|ASIA)[A-Z0-9]{{12,}}|AIza[\w-]{{16,}}|ya29\.[\w.-]+|GOCSPX-[\w-]+|hf_\w{{16,}}|r8_\w{{16,}})
    | \b(?:SG\.[\w-]{{16,}}[\w.-]*|npm_\w{{30,}}|pypi-[\w-]{{16,}}|key_[0-9a-f]{{32,}})
    | -----BEGIN[A-Z ]{{0,30}}PRIVATE[ ]KEY-----[^-]*(?:-----END[A-Z ]{{0,30}}-----)?
    """,
    re.VERBOSE,
)

# One of these is in every text that the above finds something in, or one of those that come with such a word: found in
# a hundredth of the time.
_MARKS = (
    "://", "authorization", "bearer", "basic", "digest", "negotiate", "hmac", "secret", "token", "passw", "passphrase",
    "signature", "credential", "cookie", "jwt", "mot de passe", "jeton", "eyj", "eyk", "whsec_", "glpat-", "sk-", "xox",
    "akia", "asia", "aiza", "ya29.", "gocspx-", "pypi-", "private key",
)  # fmt: skip
_ASSIGNED = ("=", "%3d", "\\u003d", "&#61;", '"', "'", "`")
_MARKS_WITH = (
    ("key", (*_ASSIGNED, "api", "access", "account", "private", "shared", "subscription", "_")),
    ("pwd", _ASSIGNED),
    ("sig", _ASSIGNED),
    ("_", ("gho_", "ghp_", "ghr_", "ghs_", "ghu_", "github_pat_", "k_live_", "k_test_", "hf_", "r8_", "npm_")),
    (".", ("sg.",)),
)

_SECRET_NAMES = re.compile(rf"{_STRONG}(?!s)|(?i:\bpwd\b|authorization|bearer|cookie)")


def may_hold_secret(lower: str) -> bool:
    """Whether a text in lower case is worth being looked through. Loops, which take half the time of any(): this is for
    every webhook."""
    for mark in _MARKS:
        if mark in lower:
            return True
    for word, marks in _MARKS_WITH:
        if word in lower:
            for mark in marks:
                if mark in lower:
                    return True
    return False


def holds_secret(text: str) -> bool:
    return may_hold_secret(text.lower()) and _FORMS.search(text) is not None


def without_secrets(text: str) -> str:
    """The text with `…` for each secret. Takes time in proportion to its length, about a microsecond a character."""
    return _FORMS.sub(_keep_name, text) if may_hold_secret(text.lower()) else text


def beginning(text: str, most: int) -> str:
    """The first `most` characters of the text without its secrets. Twice as many are looked at, but for a word that
    this cuts in two: it may be a secret's half."""
    head = text[: 2 * most]
    if len(text) > len(head):
        head = head.rpartition(" ")[0] or head
    return without_secrets(head)[:most]


def _keep_name(found: re.Match[str]) -> str:
    if found["address"]:
        return f"://{MARK}@"
    kept = ("header", "cookies", "scheme", "quoted", "set", "named")
    return next((found[name] for name in kept if found[name]), "") + MARK


def names_secret(name: str) -> bool:
    """Whether what is called so in an object is a secret, however it looks."""
    return _SECRET_NAMES.search(name) is not None


def without_secrets_within(value: Any) -> Any:
    """Likewise for all texts in a JSON value, and for those that are called secrets."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, dict):
        return {
            name: MARK if isinstance(inner, str) and inner and names_secret(name) else without_secrets_within(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_secrets_within(inner) for inner in value]
    return value
