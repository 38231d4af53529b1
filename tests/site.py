"""A site's own tables beside ours, with foreign keys, and tokens as Clerk makes them in both of its forms."""

import time
from typing import Any

from tests.databases import Sql

_KIND = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci"

_USERS = """
CREATE TABLE users (id VARCHAR(191) NOT NULL, clerkId VARCHAR(191) NOT NULL,
  role ENUM('USER', 'ADMIN') NOT NULL DEFAULT 'USER', PRIMARY KEY (id), UNIQUE INDEX users_clerkId_key (clerkId))
"""
_MEMBERS = """
CREATE TABLE organization_members (id VARCHAR(191) NOT NULL, userId VARCHAR(191) NOT NULL,
  organizationId VARCHAR(191) NOT NULL, PRIMARY KEY (id),
  FOREIGN KEY (userId) REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE,
  FOREIGN KEY (organizationId) REFERENCES organizations (id) ON DELETE CASCADE ON UPDATE CASCADE)
"""
_FOREIGN_KEYS = """
ALTER TABLE video_generations
  ADD CONSTRAINT author FOREIGN KEY (authorId) REFERENCES users (id) ON DELETE RESTRICT ON UPDATE CASCADE,
  ADD CONSTRAINT organization FOREIGN KEY (organizationId) REFERENCES organizations (id)
  ON DELETE SET NULL ON UPDATE CASCADE
"""
_ROWS = """
INSERT INTO users VALUES
  ('user-1', 'user_Ada', 'USER'), ('user-2', 'user_Bob', 'USER'), ('user-3', 'user_Boss', 'ADMIN')
"""
_MEMBERSHIPS = """
INSERT INTO organization_members VALUES ('m1', 'user-1', 'org-1'), ('m2', 'user-2', 'org-1'), ('m3', 'user-2', 'org-2')
"""

STATEMENTS = (
    f"{_USERS} {_KIND}",
    f"CREATE TABLE organizations (id VARCHAR(191) NOT NULL, PRIMARY KEY (id)) {_KIND}",
    f"{_MEMBERS} {_KIND}",
    _FOREIGN_KEYS,
    _ROWS,
    "INSERT INTO organizations VALUES ('org-1'), ('org-2')",
    _MEMBERSHIPS,
)

LOOK_UPS = {
    "auth_user_lookup": "users.clerkId:id",
    "auth_org_lookup": "organization_members.userId:organizationId",
    "auth_admin_lookup": "users.role=ADMIN",
}


def furnish(sql: Sql) -> None:
    for statement in STATEMENTS:
        sql(statement)


def clerks(version: int, organization: str | None = None) -> dict[str, Any]:
    """The claims of Clerk's session tokens beside `sub` and `exp`."""
    at, issuer = int(time.time()), "https://clerk.example"
    claims: dict[str, Any] = {"azp": "https://app.example", "iss": issuer, "sid": "s_1", "iat": at, "fva": [3, -1]}
    if version == 1:
        return claims | ({} if organization is None else {"org_id": organization, "org_role": "org:member"})
    return (
        claims
        | {"v": 2, "pla": "u:free"}
        | ({} if organization is None else {"o": {"id": organization, "rol": "member"}})
    )
