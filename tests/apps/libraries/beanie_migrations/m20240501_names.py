"""A name becomes a document."""

from beanie import Document, free_fall_migration, iterative_migration
from pydantic import BaseModel


class OldAccount(Document):
    id: int
    name: str

    class Settings:
        name = "old_accounts"


class Name(BaseModel):
    text: str
    words: int


class NewAccount(Document):
    id: int
    name: Name

    class Settings:
        name = "old_accounts"


class Forward:
    @iterative_migration(batch_size=10)
    async def name_to_document(self, input_document: OldAccount, output_document: NewAccount) -> None:
        output_document.name = Name(text=input_document.name, words=len(input_document.name.split()))  # type: ignore


class Backward:
    @free_fall_migration(document_models=[OldAccount, NewAccount])
    async def document_to_name(self, session: object) -> None:
        async for account in NewAccount.find_all():
            await OldAccount(id=account.id, name=account.name.text).replace(session=session)
