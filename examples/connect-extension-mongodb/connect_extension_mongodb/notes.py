"""Notes on Connect's objects, on either path: the variable `PATH_TO_MONGODB` picks it."""

from connect.eaas.mongodb import AsyncDataApiClient, AsyncMongoClient

CLIENTS = {'driver': AsyncMongoClient, 'data_api': AsyncDataApiClient}


def notes_of(config):
    """The collection of notes, on the path that the extension's variables pick."""
    client = CLIENTS[config.get('PATH_TO_MONGODB', 'driver')].from_config(config)
    return client.get_default_database()['notes']


async def add_note(notes, object_id, text):
    """Adds a note, or replaces the one that is there; gives how many the object has."""
    note = {'object': object_id, 'text': text}
    await notes.update_one(note, {'$set': {'seen': True}}, upsert=True)
    cursor = await notes.aggregate([{'$match': {'object': object_id}}, {'$count': 'notes'}])
    return (await cursor.to_list())[0]['notes']


async def texts(notes, object_id):
    """The texts of an object's notes, in order."""
    return [note['text'] async for note in notes.find({'object': object_id}, sort=[('text', 1)])]
