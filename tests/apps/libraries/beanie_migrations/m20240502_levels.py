"""Accounts get a level, and lose it again."""

from typing import Any

from beanie import Document, free_fall_migration
from beanie.odm.operators.update.general import Set, Unset


class Account(Document):
    id: int
    level: int | None = None

    class Settings:
        name = "old_accounts"


class Forward:
    @free_fall_migration(document_models=[Account])
    async def level(self, session: Any) -> None:
        await Account.find({"_id": {"$lt": 2}}, session=session).update(Set({Account.level: 1}), session=session)


class Backward:
    @free_fall_migration(document_models=[Account])
    async def no_level(self, session: Any) -> None:
        await Account.find_all(session=session).update(Unset({Account.level: 1}), session=session)
