//! PyMongo's arguments ► the core's options.

use std::time::Duration;

use bson::{Bson, Document, RawBsonRef, RawDocument, RawDocumentBuf};
use pyo3::exceptions::{PyNotImplementedError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping, PyString, PyTuple, PyType};

use crate::codec::MAX_COMMAND_SIZE;
use crate::codec::writer::BsonWriter;
use crate::error::{Error, ErrorKind};
use crate::python::codec::{Codec, DEFAULT, raw_document};
use crate::python::convert::errors::{invalid_operation, to_py, wrong_type};

/// The name of a database or a collection.
pub(crate) fn name(
    value: &Bound<'_, PyAny>,
    what: &str,
    check: fn(&str) -> std::result::Result<(), String>,
) -> PyResult<String> {
    let name = value.cast::<PyString>().map_err(|_| wrong_type("name", "an instance of str", value))?.to_str()?;
    check(name).map_err(|problem| {
        let message = format!("{what} name {:?} {problem}", crate::error::excerpt(name, 100));
        to_py(value.py(), Error::new(ErrorKind::InvalidName, message))
    })?;
    Ok(name.to_owned())
}

/// A command: its name with a value, or a document; and more fields.
pub(crate) fn command(
    codec: &Codec,
    command: &Bound<'_, PyAny>,
    value: Option<&Bound<'_, PyAny>>,
    more: Option<&Bound<'_, PyDict>>,
) -> PyResult<Document> {
    let whole = PyDict::new(command.py());
    if command.cast::<PyString>().is_ok() {
        match value {
            Some(value) => whole.set_item(command, value)?,
            None => whole.set_item(command, 1)?,
        }
    } else if command.cast::<PyMapping>().is_ok() {
        whole.call_method1("update", (command,))?;
    } else {
        return Err(wrong_type("command", "an instance of str or a mapping", command));
    }
    if let Some(more) = more {
        whole.call_method1("update", (more,))?;
    }
    if whole.is_empty() {
        return Err(PyValueError::new_err("the command must not be empty"));
    }
    document(codec, whole.as_any())
}

/// A value in the driver's representation.
pub(crate) fn bson_value(codec: &Codec, value: &Bound<'_, PyAny>) -> PyResult<Bson> {
    let bytes = codec.encode_value(value)?;
    let element = RawDocument::from_bytes(bytes.as_slice()).and_then(|document| document.get("v"));
    let wrong = || PyValueError::new_err("the value cannot be encoded");
    element.ok().flatten().and_then(|value: RawBsonRef<'_>| Bson::try_from(value).ok()).ok_or_else(wrong)
}

/// A document in the driver's representation.
pub(crate) fn document(codec: &Codec, value: &Bound<'_, PyAny>) -> PyResult<Document> {
    let raw = raw_of(codec, value)?;
    Document::try_from(&raw).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// A document as BSON.
fn raw_of(codec: &Codec, value: &Bound<'_, PyAny>) -> PyResult<RawDocumentBuf> {
    let mut out = BsonWriter::default();
    codec.encode(value, &mut out)?;
    raw_document(value.py(), out.buf)
}

/// The argument `sort`: as with PyMongo, an empty sort order is none.
pub(crate) fn none_if_empty(py: Python<'_>, sort: Option<Py<PyAny>>) -> Option<Py<PyAny>> {
    sort.filter(|sort| sort.bind(py).is_truthy().unwrap_or(true))
}

/// The checks that PyMongo makes when a cursor is created.
pub(crate) fn find_arguments(
    py: Python<'_>,
    filter: Option<&Py<PyAny>>,
    given_projection: Option<&Py<PyAny>>,
    sort: Option<&Py<PyAny>>,
) -> PyResult<()> {
    if let Some(filter) = filter.map(|filter| filter.bind(py)).filter(|filter| filter.cast::<PyMapping>().is_err()) {
        return Err(wrong_type("filter", "a mapping", filter));
    }
    if let Some(given) = given_projection {
        projection(given.bind(py))?;
    }
    if let Some(sort) = sort.map(|sort| sort.bind(py))
        && sort.is_truthy()?
    {
        keys("sort", sort)?;
    }
    Ok(())
}

/// Refuses arguments that this client does not have.
pub(crate) fn not_supported<const N: usize>(arguments: [(&str, bool); N]) -> PyResult<()> {
    match arguments.iter().find(|(_, used)| *used) {
        Some((name, _)) => Err(PyNotImplementedError::new_err(format!("{name} is not supported: leave it out"))),
        None => Ok(()),
    }
}

/// `collation`: PyMongo's `Collation`, or a mapping.
pub(crate) fn collation<'py>(collation: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if collation.cast::<PyMapping>().is_ok() {
        return Ok(collation.clone());
    }
    collation
        .getattr("document")
        .map_err(|_| wrong_type("collation", "a pymongo.collation.Collation or a mapping", collation))
}

/// `sort` of a cursor: a field's name with its direction, or a value for [`keys`].
pub(crate) fn sort<'py>(
    keys_or_name: &Bound<'py, PyAny>,
    direction: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match direction {
        None => keys("sort", keys_or_name),
        Some(direction) => {
            let name = keys_or_name.cast::<PyString>().map_err(|_| {
                PyTypeError::new_err("a direction is only allowed with a field name: pass (name, direction) pairs")
            })?;
            let sort = PyDict::new(name.py());
            sort.set_item(name, direction)?;
            Ok(sort.into_any())
        }
    }
}

/// `filter` of `find_one`: a query, or the `_id` to look for.
pub(crate) fn filter<'py>(py: Python<'py>, filter: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    match filter {
        None => Ok(PyDict::new(py).into_any()),
        Some(filter) if filter.cast::<PyMapping>().is_ok() => Ok(filter.clone()),
        Some(id) => {
            let filter = PyDict::new(py);
            filter.set_item("_id", id)?;
            Ok(filter.into_any())
        }
    }
}

/// `projection`: a document, or a list of the names to include; `None` if it is empty, as with PyMongo.
pub(crate) fn projection<'py>(projection: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if projection.cast::<PyMapping>().is_ok() {
        return Ok(Some(projection.clone()).filter(|projection| !projection.is_empty().unwrap_or(false)));
    }
    if projection.cast::<PyString>().is_ok() {
        return Err(wrong_type("projection", "a list of field names or a mapping", projection));
    }
    let names = PyDict::new(projection.py());
    for name in
        projection.try_iter().map_err(|_| wrong_type("projection", "a list of field names or a mapping", projection))?
    {
        let name = name?;
        name.cast::<PyString>().map_err(|_| wrong_type("each name in projection", "an instance of str", &name))?;
        names.set_item(name, 1)?;
    }
    Ok((!names.is_empty()).then(|| names.into_any()))
}

/// `sort` or an index's keys: a name, a mapping, or a list of names or of
/// (name, direction) pairs.
pub(crate) fn keys<'py>(argument: &str, keys: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = keys.py();
    let ordered = PyDict::new(py);
    if keys.cast::<PyString>().is_ok() {
        ordered.set_item(keys, 1)?;
        return Ok(ordered.into_any());
    }
    if keys.cast::<PyMapping>().is_ok() {
        return Ok(keys.clone());
    }
    let wrong = || wrong_type(argument, "a field name, a mapping, or a list of (name, direction) pairs", keys);
    if keys.cast::<PyList>().is_err() && keys.cast::<PyTuple>().is_err() {
        return Err(wrong());
    }
    for key in keys.try_iter()? {
        let key = key?;
        if key.cast::<PyString>().is_ok() {
            ordered.set_item(key, 1)?;
        } else {
            let pair = key.cast::<PyTuple>().map_err(|_| wrong())?;
            if pair.len() != 2 {
                return Err(PyValueError::new_err(format!("{argument} must be (name, direction) pairs, not {pair:?}")));
            }
            let (name, direction) = (pair.get_item(0)?, pair.get_item(1)?);
            let is_direction = direction.cast::<PyString>().is_ok()
                || direction.is_instance_of::<pyo3::types::PyInt>()
                || direction.is_instance_of::<pyo3::types::PyFloat>()
                || direction.cast::<PyMapping>().is_ok();
            if name.cast::<PyString>().is_err() || !is_direction {
                return Err(wrong());
            }
            ordered.set_item(name, direction)?;
        }
    }
    if ordered.is_empty() {
        return Err(PyValueError::new_err(format!("{argument} must not be empty")));
    }
    Ok(ordered.into_any())
}

/// The value of an optional argument, by the type that PyMongo expects.
pub(crate) enum Opt {
    /// As it is.
    Value(Option<Py<PyAny>>),
    /// A flag.
    Flag(Option<bool>),
    /// A list.
    List(Option<Py<PyAny>>),
    /// A mapping.
    Mapping(Option<Py<PyAny>>),
    /// An order.
    Keys(Option<Py<PyAny>>),
    /// An index: its name or its keys.
    Index(Option<Py<PyAny>>),
    /// A collation.
    Collation(Option<Py<PyAny>>),
    /// The fields to return.
    Projection(Option<Py<PyAny>>),
    /// A session, which is no field of a command.
    Session(Option<Py<PyAny>>),
}

impl Opt {
    /// Whether it was given.
    pub(crate) fn is_given(&self) -> bool {
        match self {
            Self::Flag(flag) => *flag == Some(true),
            Self::Value(value)
            | Self::List(value)
            | Self::Mapping(value)
            | Self::Keys(value)
            | Self::Index(value)
            | Self::Collation(value)
            | Self::Projection(value)
            | Self::Session(value) => value.is_some(),
        }
    }
}

/// Arguments by MongoDB's names for them.
pub(crate) type Opts = Vec<(&'static str, Opt)>;

/// The options that were given, in the driver's representation.
pub(crate) fn given(py: Python<'_>, codec: &Codec, opts: &Opts) -> PyResult<Document> {
    let dict = PyDict::new(py);
    for (name, opt) in opts {
        match opt {
            Opt::Flag(Some(flag)) => dict.set_item(name, flag)?,
            Opt::Value(Some(value)) => dict.set_item(name, value)?,
            Opt::List(Some(value)) if value.bind(py).cast::<PyList>().is_err() => {
                return Err(wrong_type(name, "an instance of list", value.bind(py)));
            }
            Opt::Mapping(Some(value)) if value.bind(py).cast::<PyMapping>().is_err() => {
                return Err(wrong_type(name, "a mapping", value.bind(py)));
            }
            Opt::List(Some(value)) | Opt::Mapping(Some(value)) => dict.set_item(name, value)?,
            Opt::Keys(Some(value)) => dict.set_item(name, keys(name, value.bind(py))?)?,
            Opt::Index(Some(value)) => match value.bind(py).cast::<PyString>() {
                Ok(index) => dict.set_item(name, index)?,
                Err(_) => dict.set_item(name, keys(name, value.bind(py))?)?,
            },
            Opt::Collation(Some(value)) => dict.set_item(name, collation(value.bind(py))?)?,
            Opt::Projection(Some(value)) => {
                if let Some(names) = projection(value.bind(py))? {
                    dict.set_item(name, names)?;
                }
            }
            _ => {}
        }
    }
    document(codec, dict.as_any())
}

/// `filter` of a write: a query. `bulk.py` asks for it too.
#[pyfunction]
#[pyo3(name = "_write_filter", signature = (filter, /))]
pub(crate) fn write_filter<'py>(filter: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if filter.cast::<PyMapping>().is_err() {
        return Err(wrong_type("filter", "an instance of dict, or any other mapping type", filter));
    }
    Ok(filter.clone())
}

/// `update`: a document of operators, or a pipeline. `bulk.py` asks for it too.
#[pyfunction]
#[pyo3(name = "_update", signature = (update, /))]
pub(crate) fn update<'py>(update: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if let Ok(stages) = update.cast::<PyList>() {
        if stages.is_empty() {
            return Err(PyValueError::new_err("update cannot be empty"));
        }
        return Ok(update.clone());
    }
    let Ok(mapping) = update.cast::<PyMapping>() else {
        return Err(wrong_type("update", "a mapping type or a list", update));
    };
    if mapping.is_empty()? {
        return Err(PyValueError::new_err("update cannot be empty"));
    }
    if !first_name(update)?.starts_with('$') {
        return Err(PyValueError::new_err("update only works with $ operators"));
    }
    Ok(update.clone())
}

/// `replacement`: a document without operators. `bulk.py` asks for it too.
#[pyfunction]
#[pyo3(name = "_replacement", signature = (replacement, /))]
pub(crate) fn replacement<'py>(replacement: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let Ok(mapping) = replacement.cast::<PyMapping>() else {
        return Err(wrong_type("replacement", "an instance of dict, or any other mapping type", replacement));
    };
    if !mapping.is_empty()? && first_name(replacement)?.starts_with('$') {
        return Err(PyValueError::new_err("replacement can not include $ operators"));
    }
    Ok(replacement.clone())
}

fn first_name(mapping: &Bound<'_, PyAny>) -> PyResult<String> {
    match mapping.try_iter()?.next() {
        Some(name) => Ok(name?.str()?.to_string()),
        None => Ok(String::new()),
    }
}

/// `pipeline`: a list of stages.
pub(crate) fn pipeline(codec: &Codec, pipeline: &Bound<'_, PyAny>) -> PyResult<Vec<Document>> {
    let py = pipeline.py();
    let stages = pipeline.cast::<PyList>().map_err(|_| wrong_type("pipeline", "an instance of list", pipeline))?;
    let mut size = 0;
    let mut documents = Vec::with_capacity(stages.len());
    for stage in stages {
        let raw = raw_of(codec, &stage)?;
        size += raw.as_bytes().len();
        if size > MAX_COMMAND_SIZE {
            return Err(to_py(py, Error::new(ErrorKind::DocumentTooLarge, "aggregate command document too large")));
        }
        documents.push(Document::try_from(&raw).map_err(|error| PyValueError::new_err(error.to_string()))?);
    }
    Ok(documents)
}

/// The type that PyMongo expects for a keyword.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    /// As it is.
    Value,
    /// As it is, under another name.
    Named(&'static str),
    /// An index.
    Index,
    /// A collation.
    Collation,
}

/// The keywords of `aggregate`.
pub(crate) fn aggregation(kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Opts> {
    let mut batch_size = None;
    if let Some(kwargs) = kwargs {
        if kwargs.contains("explain")? {
            let message = "The explain option is not supported. Use Database.command instead.";
            return Err(crate::python::convert::errors::configuration_error(kwargs.py(), message));
        }
        if let Some(cursor) = kwargs.get_item("cursor")? {
            kwargs.del_item("cursor")?;
            batch_size = cursor.get_item("batchSize").ok().map(Bound::unbind);
        }
    }
    let mut opts = more(
        kwargs,
        &[
            ("allowDiskUse", Form::Value),
            ("batchSize", Form::Value),
            ("bypassDocumentValidation", Form::Value),
            ("bypass_document_validation", Form::Named("bypassDocumentValidation")),
            ("collation", Form::Collation),
            ("hint", Form::Index),
            ("maxTimeMS", Form::Value),
            ("maxAwaitTimeMS", Form::Value),
        ],
    )?;
    if batch_size.is_some() {
        opts.push(("batchSize", Opt::Value(batch_size)));
    }
    Ok(opts)
}

/// Keywords of any name: they become fields of the command.
pub(crate) fn any(kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Opts> {
    let mut opts = Opts::new();
    for (name, value) in kwargs.into_iter().flatten() {
        let name = name.extract::<String>()?;
        // Bounded by the number of different keywords in a program.
        let name = known_name(&name)
            .ok_or_else(|| PyTypeError::new_err(format!("got an unexpected keyword argument '{name}'")))?;
        opts.push((name, Opt::Value((!value.is_none()).then(|| value.unbind()))));
    }
    Ok(opts)
}

/// The fields of commands that PyMongo's methods accept as keywords.
fn known_name(name: &str) -> Option<&'static str> {
    const KNOWN: [&str; 9] = [
        "maxTimeMS",
        "commitQuorum",
        "dropTarget",
        "nameOnly",
        "authorizedDatabases",
        "authorizedCollections",
        "filter",
        "writeConcern",
        "cursor",
    ];
    KNOWN.into_iter().find(|known| *known == name)
}

/// A number that is not negative.
pub(crate) fn count(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    value.extract::<Count>().map(|count| count.0)
}

/// A number that is not negative.
pub(crate) struct Count(pub(crate) u64);

impl<'py> FromPyObject<'_, 'py> for Count {
    type Error = PyErr;

    fn extract(value: pyo3::Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let number = value.extract::<i64>()?;
        u64::try_from(number).map(Self).map_err(|_| PyValueError::new_err("a number must be >= 0"))
    }
}

/// Keywords beyond the named arguments; unknown ones are an error.
pub(crate) fn more(kwargs: Option<&Bound<'_, PyDict>>, known: &[(&'static str, Form)]) -> PyResult<Opts> {
    let mut opts = Opts::new();
    let Some(kwargs) = kwargs else { return Ok(opts) };
    for (name, value) in kwargs {
        let name = name.extract::<String>()?;
        let Some((known, form)) = known.iter().find(|(known, _)| *known == name) else {
            return Err(PyTypeError::new_err(format!("got an unexpected keyword argument '{name}'")));
        };
        let value = (!value.is_none()).then(|| value.unbind());
        opts.push(match form {
            Form::Value => (*known, Opt::Value(value)),
            Form::Named(name) => (*name, Opt::Value(value)),
            Form::Index => (*known, Opt::Index(value)),
            Form::Collation => (*known, Opt::Collation(value)),
        });
    }
    Ok(opts)
}

/// The keywords of `find_one_and_…`.
pub(crate) fn find_and_modify(kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<(Opts, Option<Duration>)> {
    let mut opts = more(
        kwargs,
        &[
            ("maxTimeMS", Form::Value),
            ("collation", Form::Collation),
            ("bypass_document_validation", Form::Named("bypassDocumentValidation")),
            ("bypassDocumentValidation", Form::Value),
        ],
    )?;
    let place = opts.iter().position(|(name, _)| *name == "maxTimeMS");
    let max_time = match (place.map(|place| opts.remove(place).1), kwargs) {
        (Some(Opt::Value(Some(millis))), Some(kwargs)) => {
            Some(Duration::from_millis(millis.bind(kwargs.py()).extract::<u64>()?))
        }
        _ => None,
    };
    Ok((opts, max_time))
}

/// An index in the form of `createIndexes`. Its default name is derived from its keys.
pub(crate) fn index(keys_given: &Bound<'_, PyAny>, more: Option<&Bound<'_, PyDict>>) -> PyResult<Document> {
    let key = document(&DEFAULT, &keys("keys", keys_given)?)?;
    let mut index = Document::new();
    for (option, value) in more.into_iter().flatten() {
        let option = option.extract::<String>()?;
        let value = if option == "collation" { collation(&value)? } else { value };
        index.insert(option, bson_value(&DEFAULT, &value)?);
    }
    if !index.contains_key("name") {
        let name = key.iter().map(|(name, direction)| match direction {
            Bson::String(kind) => format!("{name}_{kind}"),
            Bson::Double(direction) => format!("{name}_{direction:.0}"),
            direction => format!("{name}_{direction}"),
        });
        index.insert("name", name.collect::<Vec<_>>().join("_"));
    }
    index.insert("key", key);
    Ok(index)
}

/// `Class[item]`, for annotations.
pub(crate) fn generic<'py>(cls: &Bound<'py, PyType>, item: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    cls.py().import("types")?.getattr("GenericAlias")?.call1((cls, item))
}

/// The documents of `insert_many`, as a list.
pub(crate) fn documents<'py>(documents: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
    let py = documents.py();
    let wrong = || PyTypeError::new_err("documents must be a non-empty list");
    if documents.cast::<pyo3::types::PyMapping>().is_ok() {
        return Err(wrong());
    }
    let list = PyList::empty(py);
    for document in documents.try_iter().map_err(|_| wrong())? {
        list.append(document?)?;
    }
    if !list.is_empty() {
        return Ok(list);
    }
    // PyMongo only checks a list for being empty.
    if documents.hasattr("__len__")? { Err(wrong()) } else { Err(invalid_operation(py, "No operations to execute")) }
}
