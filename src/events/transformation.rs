//! Transformations of billing and pricing streams.

use super::common::{ACCOUNT, EVENTS, REFERENCE};
use super::schema::model;

model! {
    /// A column of a file that is transformed.
    TRANSFORMATION_COLUMN = "TransformationColumn";
    "id": Text, "The column's id.";
    "name": Text, "Its name.";
    "type": Text, "The type of its values.";
    "description": Text, "What it is.";
    "position": Integer, "Its place among the columns.";
    "nullable": Boolean, "Whether a value may be missing.";
    "required": Boolean, "Whether there must be such a column.";
    "precision": Integer, "How many decimal places its values have.";
    "output": Boolean, "Whether it is in the output too.";
}

model! {
    /// The columns that a transformation reads and writes.
    TRANSFORMATION_COLUMNS = "TransformationColumns";
    "input": List(&Object(&TRANSFORMATION_COLUMN)), "The columns that it reads.";
    "output": List(&Object(&TRANSFORMATION_COLUMN)), "The columns that it writes.";
}

model! {
    /// A transformation, with its settings.
    TRANSFORMATION = "Transformation" (prefix "STRA-");
    "id": Text, "The transformation's id.";
    "function": Object(&REFERENCE), "The function of the extension.";
    "description": Text, "What it does.";
    "overview": Text, "What it does, in short.";
    "columns": Object(&TRANSFORMATION_COLUMNS), "The columns that it reads and writes.";
    "settings": Any, "Its settings, as its dialog made them.";
    "position": Integer, "Its place among the stream's transformations.";
}

model! {
    /// The files of a transformation request.
    TRANSFORMATION_FILES = "TransformationFiles";
    "input": Object(&REFERENCE), "The file to transform; its `name` is its path.";
    "output": Object(&REFERENCE), "The transformed file; its `name` is its path.";
}

model! {
    /// A request to transform a file.
    TRANSFORMATION_REQUEST = "TransformationRequest" (prefix "TFR-");
    "id": Text, "The request's id, as `TFR-0000-0000-0000`.";
    "status": Text, "`pending`, `processed`, `failed`, …";
    "transformation": Object(&TRANSFORMATION), "The transformation.";
    "stream": Object(&REFERENCE), "The stream.";
    "batch": Object(&REFERENCE), "The batch of the stream.";
    "files": Object(&TRANSFORMATION_FILES), "The files.";
    "stats": Mapping, "How many rows are processed.";
    "owner": Object(&ACCOUNT), "The account that it belongs to.";
    "events": Object(&EVENTS), "What happened to it, and when.";
}
