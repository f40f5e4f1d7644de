//! Usage files, and the chunks that they are cut into.

use super::common::{ACCOUNT, ACTOR, CONTRACT, EVENTS, HUB, MARKETPLACE, PRODUCT};
use super::schema::model;

model! {
    /// How many records are how far.
    USAGE_STATS = "UsageStats";
    "uploaded": Integer, "How many were uploaded.";
    "validated": Integer, "How many were found valid.";
    "pending": Integer, "How many wait.";
    "accepted": Integer, "How many were accepted.";
    "closed": Integer, "How many were closed.";
    "billed": Integer, "How many were billed.";
}

model! {
    /// How many records of a file are valid.
    USAGE_RECORDS = "UsageRecords";
    "valid": Integer, "How many are valid.";
    "invalid": Integer, "How many are not.";
    "closed": Integer, "How many were closed.";
}

model! {
    /// The time that usage is reported for.
    USAGE_PERIOD = "UsagePeriod";
    "from": Date, "Its first day. In Python also `from_`, since `from` is a keyword.";
    "to": Date, "Its last day.";
}

model! {
    /// A usage file: what was used of a product, to be billed.
    USAGE_FILE = "UsageFile" (prefix "UF-") [identified];
    "id": Text, "The file's id, as `UF-2018-11-9878764342`.";
    "name": Text, "Its name.";
    "external_id": Text, "Its id in the system that it came from.";
    "status": Text, "`draft`, `uploading`, `uploaded`, `invalid`, `processing`, `processed`, `ready`, `rejected`, `pending`, `accepted`, `closed` or `deleted`.";
    "sub_status": Text, "`processing` or `processed`.";
    "vendor": Object(&ACCOUNT), "The vendor.";
    "provider": Object(&ACCOUNT), "The distributor.";
    "environment": Text, "`production`, `test` or `preview`.";
    "marketplace": Object(&MARKETPLACE), "The marketplace.";
    "contract": Object(&CONTRACT), "The contract.";
    "product": Object(&PRODUCT), "The product.";
    "error_detail": Text, "What is wrong with it.";
    "description": Text, "What it is.";
    "note": Text, "What was noted.";
    "acceptance_note": Text, "What was said when it was accepted.";
    "rejection_note": Text, "What was said when it was rejected.";
    "schema": Text, "How its records are to be read: `tr`, `pr`, `qt` or `cr`.";
    "currency": Text, "The currency.";
    "period": Object(&USAGE_PERIOD), "The time that it is for.";
    "stats": Object(&USAGE_STATS), "How many records are how far.";
    "events": Object(&EVENTS), "What happened to it, and when.";
    "usage_file_uri": Text, "Where it can be had.";
    "processed_file_uri": Text, "Where it can be had as it was processed.";
    "reconciliation_file_uri": Text, "Where the reconciliation can be had.";
    "records": Object(&USAGE_RECORDS), "How many records are valid.";
    "created_at": Moment, "When it was created.";
    "created_by": Either(&Text, &Object(&ACTOR)), "Who created it.";
    "uploaded_at": Moment, "When it was uploaded.";
    "uploaded_by": Either(&Text, &Object(&ACTOR)), "Who uploaded it.";
    "submitted_at": Moment, "When it was submitted.";
    "submitted_by": Either(&Text, &Object(&ACTOR)), "Who submitted it.";
    "start_datetime_utc": Moment, "When the time that it is for begins.";
    "end_datetime_utc": Moment, "When the time that it is for ends.";
}

model! {
    /// A usage file, in short.
    USAGE_FILE_REFERENCE = "UsageFileReference" (prefix "UF-");
    "id": Text, "The file's id.";
    "name": Text, "Its name.";
    "schema": Text, "How its records are to be read.";
    "currency": Text, "The currency.";
}

model! {
    /// The hub that a chunk is for.
    BINDING = "Binding";
    "hub": Object(&HUB), "The hub.";
    "external_id": Text, "Its id in the distributor's system.";
}

model! {
    /// What went wrong.
    FAILURE = "Failure";
    "detail": Text, "What.";
}

model! {
    /// A chunk of a usage file: what of it is for one hub.
    USAGE_CHUNK = "UsageChunkFile" (prefix "UFC-") [identified];
    "id": Text, "The chunk's id, as `UFC-2018-11-9878764342-001`.";
    "status": Text, "`draft`, `ready`, `closed` or `failed`.";
    "outdated": Boolean, "Whether there is a newer one.";
    "usagefile": Object(&USAGE_FILE_REFERENCE), "The file that it is of.";
    "binding": Object(&BINDING), "The hub that it is for.";
    "marketplace": Object(&MARKETPLACE), "The marketplace.";
    "error": Object(&FAILURE), "What went wrong.";
    "events": Object(&EVENTS), "What happened to it, and when.";
    "stats": Object(&USAGE_STATS), "How many records are how far.";
    "provider": Object(&ACCOUNT), "The distributor.";
    "external_id": Text, "Its id in the distributor's system.";
}
