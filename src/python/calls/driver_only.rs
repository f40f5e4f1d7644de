//! The calls that only the driver path has.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, RawDocumentBuf, doc};
use futures_util::StreamExt as _;
use futures_util::stream;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping, PyString};

use crate::batch_stream::{Batch, BatchStream, Batches};
use crate::codec::writer::{BsonWriter, Key, Sink as _};
use crate::driver::aggregate;
use crate::driver::bulk::{BulkOptions, ClientBulk, StatementKind, Statements, bulk_write, client_bulk_write};
use crate::driver::command::{self, CommandOptions, GetMore, list, run_command};
use crate::driver::session::Session;
use crate::driver::time_limit::Deadline;
use crate::driver::write::{FindOneAnd, Modification, find_one_and};
use crate::driver::{DriverClient, Namespace};
use crate::error::{Error, ErrorKind, Result};
use crate::python::asyncio::call::{Call, raised};
use crate::python::calls::{BulkArguments, CallContext, Changing, FindOneAndArguments, Opening, encode_insert};
use crate::python::codec::{Codec, DEFAULT, raw_document};
use crate::python::convert::errors::{invalid_operation, to_py, wrong_type};
use crate::python::convert::options::{self, Opt, Opts, document};
use crate::python::convert::results::{counted, found, pymongo_result};
use crate::python::convert::scope::CodecRef;
use crate::python::monitoring::event_context;

type Context = CallContext<DriverClient>;
type Sessions = Option<Arc<Session>>;

/// The options by the server's names for them, and the session.
fn given(py: Python<'_>, context: &Context, opts: &Opts) -> PyResult<(Document, Sessions)> {
    Ok((options::given(py, &context.codec, opts)?, context.session(py, opts)?))
}

/// `count_documents`.
pub(crate) fn count_documents(
    py: Python<'_>,
    context: Context,
    filter: &Bound<'_, PyAny>,
    opts: &Opts,
) -> PyResult<Call<u64>> {
    let filter = document(&context.codec, &options::write_filter(filter)?)?;
    let (given, session) = given(py, &context, opts)?;
    let CallContext { client, namespace, .. } = context;
    let counting = async move { aggregate::count(&client, &namespace, filter, given, session).await };
    Ok(Call::new(counting, counted))
}

/// `estimated_document_count`.
pub(crate) fn estimated_document_count(py: Python<'_>, context: Context, opts: &Opts) -> PyResult<Call<u64>> {
    let (given, _) = given(py, &context, opts)?;
    let CallContext { client, namespace, .. } = context;
    let counting = async move { aggregate::estimated_count(&client, &namespace, given).await };
    Ok(Call::new(counting, counted))
}

/// `distinct`.
pub(crate) fn distinct(
    py: Python<'_>,
    context: Context,
    key: String,
    filter: Option<&Bound<'_, PyAny>>,
    opts: &Opts,
) -> PyResult<Call<Vec<Bson>>> {
    let filter = match filter {
        Some(filter) => document(&context.codec, &options::write_filter(filter)?)?,
        None => Document::new(),
    };
    let (given, session) = given(py, &context, opts)?;
    let CallContext { client, namespace, codec, .. } = context;
    let finding = async move { aggregate::distinct(&client, &namespace, &key, filter, given, session).await };
    Ok(Call::new(finding, move |py, values| codec.decode_value(py, Bson::Array(raised(py, values)?))))
}

/// `find_one_and_update`, `find_one_and_replace` and `find_one_and_delete`.
pub(crate) fn find_one_and_change(
    py: Python<'_>,
    context: Context,
    arguments: &FindOneAndArguments,
) -> PyResult<Call<Option<RawDocumentBuf>>> {
    let filter = document(&context.codec, &options::write_filter(arguments.filter.bind(py))?)?;
    let modification = match &arguments.changing {
        Changing::Update(update) => {
            Modification::Update(options::bson_value(&context.codec, &options::update(update.bind(py))?)?)
        }
        Changing::Replace(replacement) => {
            let mut out = BsonWriter::default();
            context.codec.encode(&options::replacement(replacement.bind(py))?, &mut out)?;
            Modification::Replace(raw_document(py, out.buf)?)
        }
        Changing::Delete => Modification::Delete,
    };
    let (given, session) = given(py, &context, &arguments.options)?;
    let CallContext { client, namespace, codec, .. } = context;
    let FindOneAndArguments { after, max_time, .. } = *arguments;
    let call = FindOneAnd { filter, modification, after, max_time, given, session };
    let changing = async move { find_one_and(&client, &namespace, call).await };
    Ok(Call::new(changing, move |py, result| found(py, result, &codec)))
}

/// Runs a command on the collection's database; `finish` makes the result.
pub(crate) fn run(
    context: Context,
    database: String,
    command: Document,
    how: CommandOptions,
    finish: impl FnOnce(Python<'_>, Result<RawDocumentBuf>) -> PyResult<Py<PyAny>> + Send + 'static,
) -> Call<RawDocumentBuf> {
    let client = context.client;
    Call::new(async move { run_command(&client, database, command, how).await }, finish)
}

/// Runs a command that writes on the collection's database; `finish` makes the result.
fn writing(
    py: Python<'_>,
    context: Context,
    mut command: Document,
    opts: &Opts,
    finish: impl FnOnce(Python<'_>, Result<RawDocumentBuf>) -> PyResult<Py<PyAny>> + Send + 'static,
) -> PyResult<Call<RawDocumentBuf>> {
    let (more, session) = given(py, &context, opts)?;
    command.extend(more);
    let how = CommandOptions::writing(session, &context.namespace);
    let database = context.namespace.database.clone();
    Ok(run(context, database, command, how, finish))
}

/// Runs a command of a search index, which takes no write concern, and returns `None`. The error with the code
/// `expected` is ignored.
pub(crate) fn search_index_command(
    py: Python<'_>,
    context: Context,
    mut command: Document,
    opts: &Opts,
    expected: Option<i32>,
) -> PyResult<Call<RawDocumentBuf>> {
    let (more, session) = given(py, &context, opts)?;
    command.extend(more);
    let database = context.namespace.database.clone();
    Ok(run(context, database, command, CommandOptions::once(session), none_unless(expected)))
}

/// Returns `None`, also for the error with the code `expected`.
fn none_unless(
    expected: Option<i32>,
) -> impl FnOnce(Python<'_>, Result<RawDocumentBuf>) -> PyResult<Py<PyAny>> + Send + 'static {
    move |py, answer| match answer {
        Err(error) if expected.is_some() && error.code == expected => Ok(py.None()),
        answer => raised(py, answer).map(|_| py.None()),
    }
}

/// Runs a command that writes, and returns `None`. The error with the code `expected` is ignored.
pub(crate) fn quiet(
    py: Python<'_>,
    context: Context,
    command: Document,
    opts: &Opts,
    expected: Option<i32>,
) -> PyResult<Call<RawDocumentBuf>> {
    writing(py, context, command, opts, none_unless(expected))
}

/// Runs a command that writes, and returns the server's reply, even if it is the error with the code `expected`.
pub(crate) fn answered(
    py: Python<'_>,
    context: Context,
    command: Document,
    opts: &Opts,
    expected: i32,
) -> PyResult<Call<RawDocumentBuf>> {
    writing(py, context, command, opts, move |py, answer| {
        let answer = match answer {
            Err(Error { code, details: Some(details), .. }) if code == Some(expected) => details,
            answer => raised(py, answer)?,
        };
        DEFAULT.decode(py, answer.as_bytes())
    })
}

/// The indexes of a collection; an empty list if the collection does not exist.
async fn indexes(
    client: &Arc<DriverClient>,
    namespace: &Namespace,
    more: Document,
    session: Sessions,
) -> Result<Vec<Document>> {
    let mut command = doc! { "listIndexes": namespace.collection.clone(), "cursor": {} };
    command.extend(more);
    match list(client, namespace.database.clone(), command, CommandOptions::reading(session)).await {
        Err(error) if error.code == Some(26) => Ok(Vec::new()),
        indexes => indexes,
    }
}

/// A cursor's batches of documents that are in memory.
pub(crate) fn documents(documents: Vec<Document>) -> Result<Batches> {
    let batch = Batch::of_documents(documents)?;
    Ok(stream::once(async { Ok(batch) }).boxed())
}

/// The codec for descriptions of indexes: documents are `SON`, as with PyMongo.
pub(crate) fn sons(py: Python<'_>) -> PyResult<CodecRef> {
    let keywords = PyDict::new(py);
    keywords.set_item("document_class", py.import("bson.son")?.getattr("SON")?)?;
    let options = py.import("bson.codec_options")?.getattr("CodecOptions")?.call((), Some(&keywords))?;
    CodecRef::new(&options)
}

/// `list_indexes`.
pub(crate) fn list_indexes(py: Python<'_>, context: Context, opts: &Opts) -> PyResult<Opening> {
    let (more, session) = given(py, &context, opts)?;
    let events = event_context(py, context.client.listener())?;
    let CallContext { client, namespace, deadline, .. } = context;
    let listing = async move { documents(indexes(&client, &namespace, more, session).await?) };
    let listing = Deadline::scope(deadline, listing);
    Ok(Box::new(move |runtime: &_| BatchStream::with_events(runtime, true, events, listing)))
}

/// `index_information`.
pub(crate) fn index_information(py: Python<'_>, context: Context, opts: &Opts) -> PyResult<Call<Vec<Document>>> {
    let (more, session) = given(py, &context, opts)?;
    let CallContext { client, namespace, .. } = context;
    let (listing, codec) = (async move { indexes(&client, &namespace, more, session).await }, sons(py)?);
    Ok(Call::new(listing, move |py, indexes: Result<Vec<Document>>| {
        let information = PyDict::new(py);
        for index in raised(py, indexes)? {
            let index = codec.decode_value(py, Bson::Document(index))?.into_bound(py);
            let whole = PyDict::new(py);
            whole.call_method1("update", (index,))?;
            let index = whole.into_any();
            let name = index.call_method1("pop", ("name",))?;
            index.call_method1("pop", ("ns", py.None()))?;
            let keys = PyList::empty(py);
            keys.call_method1("extend", (index.get_item("key")?.call_method0("items")?,))?;
            index.set_item("key", keys)?;
            information.set_item(name, index)?;
        }
        Ok(information.into_any().unbind())
    }))
}

/// `create_index` and `create_indexes`; with `one`, only the first name is returned.
pub(crate) fn create_indexes(
    py: Python<'_>,
    context: Context,
    indexes: Vec<Document>,
    opts: &Opts,
    one: bool,
) -> PyResult<Call<RawDocumentBuf>> {
    let names: Vec<String> = indexes.iter().map(|index| index.get_str("name").unwrap_or_default().to_owned()).collect();
    let command = doc! { "createIndexes": context.namespace.collection.clone(), "indexes": indexes };
    writing(py, context, command, opts, move |py, answer| {
        raised(py, answer)?;
        match names.first().filter(|_| one) {
            Some(name) => Ok(PyString::new(py, name).into_any().unbind()),
            None => Ok(PyList::new(py, names)?.into_any().unbind()),
        }
    })
}

/// The documents of PyMongo's models of indexes.
pub(crate) fn models(models: &Bound<'_, PyAny>, class: &str) -> PyResult<Vec<Document>> {
    let mut documents = Vec::new();
    for model in models.try_iter()? {
        let model = model?;
        let given = model.getattr("document").map_err(|_| {
            let shown = model.repr().map(|shown| shown.to_string()).unwrap_or_default();
            PyTypeError::new_err(format!("{shown} is not an instance of pymongo.operations.{class}"))
        })?;
        documents.push(document(&DEFAULT, &given)?);
    }
    Ok(documents)
}

/// `create_search_index` and `create_search_indexes`; with `one`, only the first name is returned.
pub(crate) fn create_search_indexes(
    py: Python<'_>,
    context: Context,
    indexes: Vec<Document>,
    opts: &Opts,
    one: bool,
) -> PyResult<Call<RawDocumentBuf>> {
    let mut command = doc! { "createSearchIndexes": context.namespace.collection.clone(), "indexes": indexes };
    let (more, session) = given(py, &context, opts)?;
    command.extend(more);
    let database = context.namespace.database.clone();
    Ok(run(context, database, command, CommandOptions::once(session), move |py, answer| {
        let answer = DEFAULT.decode(py, raised(py, answer)?.as_bytes())?.into_bound(py);
        let names = PyList::empty(py);
        for index in answer.get_item("indexesCreated")?.try_iter()? {
            names.append(index?.get_item("name")?)?;
        }
        if one { Ok(names.get_item(0)?.unbind()) } else { Ok(names.into_any().unbind()) }
    }))
}

/// A model of a search index: PyMongo's, or a mapping.
pub(crate) fn search_index(model: &Bound<'_, PyAny>) -> PyResult<Document> {
    if model.cast::<PyMapping>().is_ok() {
        return document(&DEFAULT, model);
    }
    let given = model
        .getattr("document")
        .map_err(|_| wrong_type("model", "an instance of SearchIndexModel or a mapping", model))?;
    document(&DEFAULT, &given)
}

/// `rename`.
pub(crate) fn rename(
    py: Python<'_>,
    context: Context,
    new_name: &Bound<'_, PyAny>,
    opts: &Opts,
) -> PyResult<Call<RawDocumentBuf>> {
    let name = options::new_collection_name(new_name)?;
    let to = format!("{}.{name}", context.namespace.database);
    let mut command = doc! { "renameCollection": context.namespace.to_string(), "to": to };
    let (more, session) = given(py, &context, opts)?;
    command.extend(more);
    let how = CommandOptions::writing(session, &context.namespace);
    Ok(run(context, "admin".to_owned(), command, how, answer_as_it_is(&DEFAULT_CODEC)))
}

static DEFAULT_CODEC: CodecRef = CodecRef::DEFAULT;

/// Returns the server's reply.
pub(crate) fn answer_as_it_is(
    codec: &CodecRef,
) -> impl FnOnce(Python<'_>, Result<RawDocumentBuf>) -> PyResult<Py<PyAny>> + Send + 'static + use<> {
    let codec = codec.clone();
    move |py, answer| codec.decode(py, raised(py, answer)?.as_bytes())
}

/// `options`.
pub(crate) fn collection_options(py: Python<'_>, context: Context, opts: &Opts) -> PyResult<Call<Vec<Document>>> {
    let mut command = doc! {
        "listCollections": 1, "cursor": {}, "filter": { "name": context.namespace.collection.clone() },
    };
    let (more, session) = given(py, &context, opts)?;
    command.extend(more);
    let CallContext { client, namespace, codec, .. } = context;
    let listing =
        async move { list(&client, namespace.database.clone(), command, CommandOptions::reading(session)).await };
    Ok(Call::new(listing, move |py, collections: Result<Vec<Document>>| {
        let mut collections = raised(py, collections)?;
        let options = collections.first_mut().and_then(|one| one.remove("options"));
        codec.decode_value(py, options.unwrap_or_else(|| Bson::Document(Document::new())))
    }))
}

/// The query of a command that replies with a cursor.
pub(crate) fn command_cursor(
    py: Python<'_>,
    context: Context,
    database: String,
    command: Document,
    how: CommandOptions,
    more: GetMore,
) -> PyResult<Opening> {
    let (ahead, events) = (how.session.is_none(), event_context(py, context.client.listener())?);
    let CallContext { client, deadline, .. } = context;
    let timeout = client.settings().time_limits.call;
    let opening = Deadline::scope(deadline, command::cursor(client, database, command, how, more));
    Ok(Box::new(move |runtime: &_| BatchStream::with_events(runtime, ahead, events, opening).with_timeout(timeout)))
}

/// `list_collections`.
pub(crate) fn list_collections(py: Python<'_>, context: Context, opts: &Opts) -> PyResult<Opening> {
    let mut command = doc! { "listCollections": 1, "cursor": {} };
    let (more, session) = given(py, &context, opts)?;
    command.extend(more);
    let database = context.namespace.database.clone();
    command_cursor(py, context, database, command, CommandOptions::reading(session), GetMore::default())
}

/// `list_collection_names`.
pub(crate) fn list_collection_names(py: Python<'_>, context: Context, opts: &Opts) -> PyResult<Call<Vec<Document>>> {
    let mut command = doc! { "listCollections": 1, "cursor": {} };
    let (more, session) = given(py, &context, opts)?;
    command.extend(more);
    let by_name = match command.get_document("filter") {
        Ok(filter) => filter.keys().all(|name| name == "name"),
        Err(_) => true,
    };
    if by_name {
        command.insert("nameOnly", true);
    }
    let CallContext { client, namespace, .. } = context;
    let listing =
        async move { list(&client, namespace.database.clone(), command, CommandOptions::reading(session)).await };
    Ok(Call::new(listing, |py, collections: Result<Vec<Document>>| {
        let names = raised(py, collections)?;
        let names: Vec<&str> = names.iter().filter_map(|one| one.get_str("name").ok()).collect();
        Ok(PyList::new(py, names)?.into_any().unbind())
    }))
}

/// `create_collection`; returns `collection` once it exists.
pub(crate) fn create_collection(
    py: Python<'_>,
    context: Context,
    collection: Py<PyAny>,
    check_exists: bool,
    kwargs: Option<&Bound<'_, PyDict>>,
    opts: &Opts,
) -> PyResult<Call<bool>> {
    let name = context.namespace.collection.clone();
    let mut command = doc! { "create": name.clone() };
    if let Some(kwargs) = kwargs {
        for (option, value) in kwargs {
            let option = option.extract::<String>()?;
            let value = if option == "collation" { options::collation(&value)? } else { value };
            command.insert(option, options::bson_value(&context.codec, &value)?);
        }
    }
    let (more, session) = given(py, &context, opts)?;
    command.extend(more);
    let text = format!("collection {name} already exists");
    let CallContext { client, namespace, .. } = context;
    let creating = async move {
        let database = namespace.database.clone();
        let in_transaction = session.as_deref().is_some_and(Session::in_transaction);
        if check_exists && !in_transaction {
            let filter = doc! { "name": &name };
            let known = doc! { "listCollections": 1, "cursor": {}, "nameOnly": true, "filter": filter };
            let known = list(&client, database.clone(), known, CommandOptions::reading(session.clone())).await?;
            // A server may ignore the filter.
            if known.iter().any(|one| one.get_str("name").is_ok_and(|known| known == name)) {
                return Ok(false);
            }
        }
        let how = CommandOptions::writing(session, &namespace);
        run_command(&client, database, command, how).await.map(|_| true)
    };
    Ok(Call::new(creating, move |py, created| match raised(py, created)? {
        true => Ok(collection),
        false => Err(collection_invalid(py, text)?),
    }))
}

fn collection_invalid(py: Python<'_>, text: String) -> PyResult<PyErr> {
    let class = py.import("pymongo.errors")?.getattr("CollectionInvalid")?;
    Ok(PyErr::from_value(class.call1((text,))?))
}

/// `validate_collection`.
pub(crate) fn validate_collection(
    py: Python<'_>,
    context: Context,
    command: Document,
    opts: &Opts,
) -> PyResult<Call<RawDocumentBuf>> {
    let (more, session) = given(py, &context, opts)?;
    let mut command = command;
    command.extend(more);
    let (database, name) = (context.namespace.database.clone(), context.namespace.collection.clone());
    let codec = context.codec.clone();
    Ok(run(context, database, command, CommandOptions::reading(session), move |py, answer| {
        let answer = raised(py, answer)?;
        let result = codec.decode(py, answer.as_bytes())?;
        let is_valid = |document: &bson::RawDocument| document.get_bool("valid").unwrap_or(false);
        let valid = match answer.get_document("raw") {
            Ok(shards) => shards.iter().flatten().all(|(_, shard)| shard.as_document().is_some_and(is_valid)),
            Err(_) => is_valid(&answer),
        };
        if valid {
            Ok(result)
        } else {
            Err(collection_invalid(py, format!("{name} invalid: {}", result.bind(py).repr()?))?)
        }
    }))
}

/// The arguments of `command` except the command itself.
#[derive(Default)]
pub(crate) struct CommandArguments {
    pub(crate) check: bool,
    pub(crate) allowable_errors: Option<Py<PyAny>>,
    pub(crate) read_preference: Option<Py<PyAny>>,
    pub(crate) codec_options: Option<Py<PyAny>>,
    pub(crate) session: Option<Py<PyAny>>,
}

impl CommandArguments {
    /// The codec of the command and its reply.
    fn codec(&self, py: Python<'_>) -> PyResult<CommandCodec> {
        Ok(match &self.codec_options {
            Some(options) => CommandCodec(Some(Codec::new(options.bind(py))?)),
            None => CommandCodec(None),
        })
    }

    fn how(&self, py: Python<'_>, context: &Context) -> PyResult<CommandOptions> {
        let session =
            crate::python::calls::session::session_of(py, self.session.as_ref().map(|s| s.bind(py)), &context.pooled)?;
        let concerns = crate::python::convert::scope::concerns(py, None, None, self.read_preference.as_ref())?;
        Ok(CommandOptions { session, read_preference: concerns.read_preference, ..CommandOptions::default() })
    }
}

struct CommandCodec(Option<Codec>);

impl std::ops::Deref for CommandCodec {
    type Target = Codec;

    fn deref(&self) -> &Codec {
        self.0.as_ref().unwrap_or(&DEFAULT)
    }
}

/// `command`.
pub(crate) fn command(
    py: Python<'_>,
    context: Context,
    command: &Bound<'_, PyAny>,
    value: Option<&Bound<'_, PyAny>>,
    kwargs: Option<&Bound<'_, PyDict>>,
    arguments: &CommandArguments,
) -> PyResult<Call<RawDocumentBuf>> {
    let codec = arguments.codec(py)?;
    let command = options::command(&codec, command, value, kwargs)?;
    let how = arguments.how(py, &context)?;
    let database = context.namespace.database.clone();
    let check = arguments.check;
    let allowed = arguments.allowable_errors.as_ref().map(|allowed| allowed.clone_ref(py));
    let client = context.client;
    let running = async move { run_command(&client, database, command, how).await };
    Ok(Call::new(running, move |py, answer: Result<RawDocumentBuf>| match answer {
        Ok(answer) => codec.decode(py, answer.as_bytes()),
        Err(error) => {
            let answered = error.details.clone().filter(|details| details.get("ok").is_ok_and(|ok| ok.is_some()));
            let wanted = match (&answered, &allowed) {
                (None, _) => false,
                (Some(_), _) if !check => true,
                (Some(answer), Some(allowed)) => {
                    let message = answer.get_str("errmsg").unwrap_or_default();
                    allowed.bind(py).contains(message)? || allowed.bind(py).contains(error.code)?
                }
                (Some(_), None) => false,
            };
            match answered.filter(|_| wanted) {
                Some(answer) => codec.decode(py, answer.as_bytes()),
                None => Err(to_py(py, error)),
            }
        }
    }))
}

/// `cursor_command`.
pub(crate) fn cursor_command(
    py: Python<'_>,
    context: Context,
    command: &Bound<'_, PyAny>,
    value: Option<&Bound<'_, PyAny>>,
    kwargs: Option<&Bound<'_, PyDict>>,
    arguments: &CommandArguments,
    more: GetMore,
) -> PyResult<Opening> {
    let codec = arguments.codec(py)?;
    let command = options::command(&codec, command, value, kwargs)?;
    let how = arguments.how(py, &context)?;
    let database = context.namespace.database.clone();
    command_cursor(py, context, database, command, how, more)
}

/// `aggregate` of a database.
pub(crate) fn aggregate_database(
    py: Python<'_>,
    context: Context,
    pipeline: &Bound<'_, PyAny>,
    opts: &Opts,
) -> PyResult<Opening> {
    let stages = options::pipeline(&context.codec, pipeline)?;
    let (mut more, session) = given(py, &context, opts)?;
    let number = |value: Option<Bson>| match value {
        Some(Bson::Int32(number)) => u64::try_from(number).ok(),
        Some(Bson::Int64(number)) => u64::try_from(number).ok(),
        _ => None,
    };
    let batch_size = number(more.remove("batchSize")).and_then(|size| u32::try_from(size).ok());
    let max_await_time = number(more.remove("maxAwaitTimeMS")).map(Duration::from_millis);
    let writes = stages.iter().any(|stage| stage.contains_key("$out") || stage.contains_key("$merge"));
    let mut cursor = Document::new();
    if let Some(size) = batch_size
        && !writes
    {
        cursor.insert("batchSize", i64::from(size));
    }
    let comment = more.get("comment").cloned();
    let mut command = doc! { "aggregate": 1, "pipeline": stages, "cursor": cursor };
    command.extend(more);
    let concerns = Arc::clone(&context.namespace.concerns);
    let in_transaction = session.as_deref().is_some_and(Session::in_transaction);
    if let Some(concern) = &concerns.read_concern
        && !in_transaction
        && !command.contains_key("readConcern")
    {
        let concern = bson::serialize_to_document(concern).map_err(|error| PyValueError::new_err(error.to_string()))?;
        command.insert("readConcern", concern);
    }
    let how = CommandOptions {
        session,
        read_preference: concerns.read_preference.clone(),
        reads: !writes,
        writes,
        write_concern: concerns.write_concern.clone(),
    };
    let database = context.namespace.database.clone();
    command_cursor(py, context, database, command, how, GetMore { batch_size, max_await_time, comment })
}

/// `list_databases`, as a cursor, or the names.
pub(crate) fn list_databases(py: Python<'_>, context: Context, command: Document, opts: &Opts) -> PyResult<Opening> {
    let mut command = command;
    let (more, session) = given(py, &context, opts)?;
    command.extend(more);
    let events = event_context(py, context.client.listener())?;
    let CallContext { client, deadline, .. } = context;
    let listing = async move {
        let answer = run_command(&client, "admin".to_owned(), command, CommandOptions::reading(session)).await?;
        let databases = answer.get_array("databases").into_iter().flatten().flatten();
        let databases = databases.filter_map(|database| Document::try_from(database.as_document()?).ok());
        documents(databases.collect())
    };
    let listing = Deadline::scope(deadline, listing);
    Ok(Box::new(move |runtime: &_| BatchStream::with_events(runtime, true, events, listing)))
}

/// `list_database_names`.
pub(crate) fn list_database_names(py: Python<'_>, context: Context, opts: &Opts) -> PyResult<Call<RawDocumentBuf>> {
    let mut command = doc! { "listDatabases": 1, "nameOnly": true };
    let (more, session) = given(py, &context, opts)?;
    command.extend(more);
    Ok(run(context, "admin".to_owned(), command, CommandOptions::reading(session), |py, answer| {
        let answer = raised(py, answer)?;
        let databases = answer.get_array("databases").into_iter().flatten().flatten();
        let names: Vec<&str> = databases.filter_map(|database| database.as_document()?.get_str("name").ok()).collect();
        Ok(PyList::new(py, names)?.into_any().unbind())
    }))
}

/// `bulk_write` of a collection.
pub(crate) fn bulk_write_collection(
    py: Python<'_>,
    context: Context,
    arguments: &BulkArguments,
) -> PyResult<Call<crate::driver::bulk::BulkResult>> {
    let collected = py.import("connect.eaas.mongodb.bulk")?.getattr("collect")?.call1((&arguments.requests,))?;
    let mut statements = Statements::with_capacity(collected.len().unwrap_or(0));
    for collected in collected.try_iter()? {
        let (kind, given, retryable) = collected?.extract::<(String, Bound<'_, PyAny>, bool)>()?;
        add_statement(&mut statements, &context, &kind, &given, retryable)?;
    }
    if statements.is_empty() {
        return Err(invalid_operation(py, "No operations to execute"));
    }
    let (more, session) = given(py, &context, &arguments.options)?;
    let options = BulkOptions { ordered: arguments.ordered, more };
    let collected = collected.unbind();
    let CallContext { client, namespace, .. } = context;
    let acknowledged = client.acknowledges(&namespace, session.as_deref());
    let writing =
        async move { bulk_write(&client, &namespace, &statements.get()?, &options, session.as_deref()).await };
    Ok(Call::new(writing, move |py, done| match done {
        Ok(_) if !acknowledged => pymongo_result(py, "BulkWriteResult", (PyDict::new(py), false)),
        Ok(done) => {
            let result = DEFAULT.decode_value(py, Bson::Document(done.document()))?;
            pymongo_result(py, "BulkWriteResult", (result, true))
        }
        Err(error) => {
            let refused = error.kind == ErrorKind::BulkWrite;
            let raised = to_py(py, error);
            if refused {
                name_operations(&raised.value(py).getattr("details")?, collected.bind(py))?;
            }
            Err(raised)
        }
    }))
}

/// Encodes an operation as a statement.
fn add_statement(
    statements: &mut Statements,
    context: &Context,
    kind: &str,
    given: &Bound<'_, PyAny>,
    retryable: bool,
) -> PyResult<()> {
    let kind = match kind {
        "insert" => StatementKind::Insert,
        "update" => StatementKind::Update,
        _ => StatementKind::Delete,
    };
    if kind != StatementKind::Insert {
        return statements.push(kind, retryable, |out| context.codec.encode(given, out));
    }
    let id = statements.push(kind, retryable, |out| encode_insert(&context.codec, given, out))?;
    context.add_id(given, &id)
}

/// Adds to each error the operation that it is about, as `op`.
pub(super) fn name_operations(details: &Bound<'_, PyAny>, collected: &Bound<'_, PyAny>) -> PyResult<()> {
    for refused in details.get_item("writeErrors")?.try_iter()? {
        let refused = refused?;
        let place = refused.get_item("index")?;
        if let Ok(operation) = collected.get_item(place) {
            refused.set_item("op", operation.get_item(1)?)?;
        }
    }
    Ok(())
}

/// `bulk_write` of a client.
pub(crate) fn bulk_write_client(
    py: Python<'_>,
    context: Context,
    arguments: &BulkArguments,
    verbose: bool,
) -> PyResult<Call<crate::driver::bulk::ClientBulkDone>> {
    let (more, session) = given(py, &context, &arguments.options)?;
    let acknowledged = context.client.acknowledges(&context.namespace, session.as_deref());
    if !acknowledged && (verbose || arguments.ordered) {
        let what = if verbose { "verbose results" } else { "ordered writes" };
        return Err(invalid_operation(py, format!("Cannot request unacknowledged write concern and {what}")));
    }
    let module = py.import("connect.eaas.mongodb.bulk")?;
    let collected = module.getattr("collect_client")?.call1((&arguments.requests,))?;
    let mut bulk = ClientBulk {
        operations: Statements::with_capacity(collected.len().unwrap_or(0)),
        namespaces: Vec::new(),
        options: BulkOptions { ordered: arguments.ordered, more: Document::new() },
        verbose,
    };
    let ids = PyList::empty(py);
    for collected in collected.try_iter()? {
        let (kind, namespace, given, retryable) = collected?.extract::<(String, String, Bound<'_, PyAny>, bool)>()?;
        let place = match bulk.namespaces.iter().position(|known| *known == namespace) {
            Some(place) => place,
            None => {
                bulk.namespaces.push(namespace);
                bulk.namespaces.len() - 1
            }
        };
        let place = i32::try_from(place).unwrap_or(i32::MAX);
        let is_insert = kind == "insert";
        let statement_kind = if is_insert { StatementKind::Insert } else { StatementKind::Update };
        let id = bulk.operations.push(statement_kind, retryable, |out| {
            let root = out.begin_root();
            out.int32(Key::Name(&kind), place);
            let id = if is_insert {
                out.embedded(Key::Name("document"));
                Some(encode_insert(&context.codec, &given, out)?)
            } else {
                let mut fields = BsonWriter::default();
                context.codec.encode(&given, &mut fields)?;
                out.elements(&raw_document(py, fields.buf)?).map_err(|error| to_py(py, error))?;
                None
            };
            out.end(root);
            PyResult::Ok(id)
        })?;
        match id {
            Some(id) => {
                context.add_id(&given, &id)?;
                ids.append(id.to_py(py)?)?;
            }
            None => ids.append(py.None())?,
        }
    }
    if bulk.operations.is_empty() {
        return Err(invalid_operation(py, "No operations to execute"));
    }
    bulk.options.more = more;
    let (collected, ids) = (collected.unbind(), ids.unbind());
    let CallContext { client, namespace, codec, .. } = context;
    let writing = async move { client_bulk_write(&client, &namespace, &bulk, session.as_deref()).await };
    Ok(Call::new(writing, move |py, done| {
        let done = raised(py, done)?;
        if !acknowledged {
            return pymongo_result(py, "ClientBulkWriteResult", (py.None(), false, false));
        }
        let document = |document: Document| DEFAULT.decode_value(py, Bson::Document(document));
        let array = |documents: Vec<Document>| {
            codec.decode_value(py, Bson::Array(documents.into_iter().map(Bson::Document).collect()))
        };
        let result = py.import("connect.eaas.mongodb.bulk")?.getattr("client_result")?;
        let arguments = (
            collected,
            ids,
            document(done.counts)?,
            array(done.results)?,
            array(done.write_concern_errors)?,
            done.successful,
            verbose,
        );
        Ok(result.call1(arguments)?.unbind())
    }))
}

/// Keywords of `create_index` that are the command's, not the index's.
pub(crate) fn command_options(kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Opts> {
    let mut opts = Opts::new();
    for name in ["maxTimeMS", "commitQuorum"] {
        let Some(kwargs) = kwargs else { break };
        if let Some(value) = kwargs.get_item(name)? {
            opts.push((name, Opt::Value(Some(value.unbind()))));
            kwargs.del_item(name)?;
        }
    }
    Ok(opts)
}
