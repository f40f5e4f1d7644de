//! Executions on a schedule.

use super::common::{ACCOUNT, EVENTS, REFERENCE};
use super::schema::model;

model! {
    /// A schedule that is due.
    SCHEDULED_EXECUTION = "ScheduledExecution" (prefix "EFS-");
    "id": Text, "The schedule's id, as `EFS-7417-3244-000-002`.";
    "name": Text, "Its name.";
    "description": Text, "What it is for.";
    "method": Text, "The method to run.";
    "parameter": Any, "What to run it with.";
    "status": Text, "How far it is.";
    "trigger": Mapping, "When it is due.";
    "environment": Object(&REFERENCE), "The extension's environment.";
    "service": Object(&REFERENCE), "The extension.";
    "owner": Object(&ACCOUNT), "Whose it is.";
    "events": Object(&EVENTS), "What happened to it, and when.";
}
