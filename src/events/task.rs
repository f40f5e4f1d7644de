//! Tasks: what the runner receives, around the object's id.

use super::schema::model;

model! {
    /// How a task is to be carried out and answered.
    TASK_OPTIONS = "TaskOptions";
    "task_id": Text, "The task's id.";
    "task_category": Text, "`background`, `interactive`, `scheduled` or `transformation`.";
    "correlation_id": Text, "What ties the task to its answer.";
    "reply_to": Text, "Where the answer goes.";
    "api_key": Text, "The key to ask Connect with: a secret.";
    "installation_id": Text, "The extension's installation that it is for.";
    "connect_correlation_id": Text, "What ties the task to what caused it in Connect.";
}

model! {
    /// What happened.
    TASK_INPUT = "TaskInput";
    "event_type": Text, "The type of the event.";
    "object_id": Text, "The id of the object that it is about.";
    "data": Any, "The object itself, where the event brings it along.";
}

model! {
    /// What came of a task.
    TASK_OUTPUT = "TaskOutput";
    "result": Text, "`success`, `reschedule`, `skip`, `retry`, `fail` or `delete`.";
    "data": Any, "The answer, of an interactive task.";
    "countdown": Integer, "In how many seconds to deliver it again.";
    "runtime": Number, "How long it took, in seconds.";
    "message": Text, "What there is to say.";
}

model! {
    /// A task.
    TASK = "Task";
    "options": Object(&TASK_OPTIONS), "How it is to be carried out and answered.";
    "input": Object(&TASK_INPUT), "What happened.";
    "output": Object(&TASK_OUTPUT), "What came of it.";
    "model_type": Text, "`task`.";
}

model! {
    /// What Connect knows of a type of events.
    EVENT_DEFINITION = "EventDefinition";
    "id": Integer, "Its number.";
    "source": Text, "`system` or `user`.";
    "type": Text, "The type of the events.";
    "name": Text, "Its name, for people.";
    "description": Text, "What it is.";
    "category": Text, "`background`, `interactive`, `scheduled` or `transformation`.";
    "group": Text, "What it belongs to.";
    "extension_type": Text, "`products`, `hub`, `multiaccount`, `transformations` or `multiaccount+products`.";
    "object_statuses": Any, "The statuses of the object that it is about.";
    "api_resource_endpoint": Text, "Where the object can be had.";
    "api_collection_endpoint": Text, "Where such objects can be had.";
    "api_collection_filter": Text, "How to ask for those that the event is for.";
}
