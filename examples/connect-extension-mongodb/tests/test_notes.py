import pytest

from connect_extension_mongodb.notes import add_note, notes_of, texts


@pytest.mark.asyncio
@pytest.mark.parametrize('path', ('driver', 'data_api'))
async def test_notes_are_kept_on_either_path(config, path):
    notes = notes_of({**config, 'PATH_TO_MONGODB': path})
    assert await add_note(notes, f'AS-{path}', 'second') == 1
    assert await add_note(notes, f'AS-{path}', 'first') == 2
    assert await add_note(notes, f'AS-{path}', 'first') == 2
    assert await texts(notes, f'AS-{path}') == ['first', 'second']


@pytest.mark.asyncio
async def test_both_paths_see_the_same_notes(config):
    driver = notes_of({**config, 'PATH_TO_MONGODB': 'driver'})
    data_api = notes_of({**config, 'PATH_TO_MONGODB': 'data_api'})
    await add_note(driver, 'AS-1', 'by the driver')
    assert await texts(data_api, 'AS-1') == ['by the driver']
