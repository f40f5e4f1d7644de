from typing import List

from connect.client import ClientError
from connect.eaas.core.decorators import router, variables, web_app
from connect.eaas.core.extension import WebApplicationBase
from connect.eaas.core.inject.common import get_call_context
from connect.eaas.core.inject.models import Context
from connect.eaas.mongodb import AsyncCollection, AsyncEventStore, VARIABLES
from connect.eaas.mongodb.web import collection, event_store
from fastapi import Depends

from connect_extension_mongodb.notes import add_note, texts
from connect_extension_mongodb.schemas import Note, Notes, StoredRequest


def owner_only(context: Context = Depends(get_call_context)):
    """Requests of all accounts are for the account that owns the extension."""
    if context.call_type != 'admin':
        raise ClientError(
            status_code=403,
            error_code='AUTH_004',
            errors=['Only the owner of the extension sees the requests of all accounts.'],
        )


def key_of(object_id: str, context: Context = Depends(get_call_context)):
    """Each account has notes of its own."""
    return f'{context.account_id} {object_id}'


@variables(VARIABLES)
@web_app(router)
class ConnectExtensionMongodbWebApplication(WebApplicationBase):

    @router.get(
        '/requests',
        summary='List the newest purchase requests that are stored',
        response_model=List[StoredRequest],
        dependencies=[Depends(owner_only)],
    )
    async def list_requests(self, store: AsyncEventStore = Depends(event_store())):
        return [
            StoredRequest(
                id=stored.object_id,
                status=stored.document.get('status'),
                received_at=stored.received_at,
            )
            async for stored in store.find(
                event_type='asset_purchase_request_processing',
                limit=100,
            )
        ]

    @router.get(
        '/objects/{object_id}/notes',
        summary='List the notes on an object',
        response_model=Notes,
    )
    async def list_notes(
        self,
        object_id: str,
        key: str = Depends(key_of),
        notes: AsyncCollection = Depends(collection('notes')),
    ):
        return Notes(object_id=object_id, notes=await texts(notes, key))

    @router.post(
        '/objects/{object_id}/notes',
        summary='Add a note to an object',
        response_model=Notes,
        status_code=201,
    )
    async def create_note(
        self,
        object_id: str,
        note: Note,
        key: str = Depends(key_of),
        notes: AsyncCollection = Depends(collection('notes')),
    ):
        await add_note(notes, key, note.text)
        return Notes(object_id=object_id, notes=await texts(notes, key))
