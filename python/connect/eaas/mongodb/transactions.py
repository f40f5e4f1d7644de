"""`with_transaction`: calls a callback in a transaction, and retries it.

It follows MongoDB's specification of the convenient API for transactions
(https://github.com/mongodb/specifications, transactions-convenient-api).
"""

from __future__ import annotations

from connect.eaas.mongodb._async.transactions import with_transaction as with_transaction_async
from connect.eaas.mongodb._sync.transactions import with_transaction

__all__ = ["with_transaction", "with_transaction_async"]
