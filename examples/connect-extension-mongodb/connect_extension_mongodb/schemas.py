from datetime import datetime
from typing import List, Optional

from pydantic import BaseModel


class StoredRequest(BaseModel):
    id: str
    status: Optional[str] = None
    received_at: datetime


class Note(BaseModel):
    text: str


class Notes(BaseModel):
    object_id: str
    notes: List[str]
