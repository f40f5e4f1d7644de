//! PyMongo's arguments ► the core's options.

use std::time::Duration;

use bson::{Bson, Document, RawBsonRef, RawDocument, RawDocumentBuf};
use pyo3::exceptions::{PyNotImplementedError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyList, PyMapping, PySequence, PyString, PyTuple, PyType};

use crate::codec::MAX_COMMAND_SIZE;
use crate::codec::writer::BsonWriter;
use crate::error::{Error, ErrorKind};
use crate::python::codec::{Codec, DEFAULT, raw_document};
use crate::python::convert::errors::{configuration_error, invalid_operation, to_py, wrong_type};

/// The name of a collection, as PyMongo checks it. The server checks the rest.
pub(crate) fn collection_name(value: &Bound<'_, PyAny>) -> PyResult<String> {
    checked_collection_name(value, "name")
}

/// `new_name` of `rename`.
pub(crate) fn new_collection_name(value: &Bound<'_, PyAny>) -> PyResult<String> {
    checked_collection_name(value, "new_name")
}

fn checked_collection_name(value: &Bound<'_, PyAny>, argument: &str) -> PyResult<String> {
    let name = value.cast::<PyString>().map_err(|_| wrong_type(argument, "an instance of str", value))?.to_str()?;
    let renamed = argument == "new_name";
    let quoted = || if renamed { Ok(String::new()) } else { Ok::<_, PyErr>(format!(": {}", value.repr()?)) };
    let problem = if name.is_empty() || name.contains("..") {
        "collection names cannot be empty".to_owned()
    } else if name.contains('$') && !name.starts_with("oplog.$main") && (renamed || !name.starts_with("$cmd")) {
        format!("collection names must not contain '$'{}", quoted()?)
    } else if name.starts_with('.') || name.ends_with('.') {
        format!("collection names must not start or end with '.'{}", quoted()?)
    } else if name.contains('\0') {
        "collection names must not contain the null character".to_owned()
    } else {
        return Ok(name.to_owned());
    };
    Err(to_py(value.py(), Error::new(ErrorKind::InvalidName, problem)))
}

/// The name of a database, as PyMongo checks it. The server checks the rest.
pub(crate) fn database_name(value: &Bound<'_, PyAny>) -> PyResult<String> {
    let name = value.cast::<PyString>().map_err(|_| wrong_type("name", "an instance of str", value))?.to_str()?;
    let refused = |problem: String| Err(to_py(value.py(), Error::new(ErrorKind::InvalidName, problem)));
    if name.is_empty() {
        return refused("database name cannot be the empty string".to_owned());
    }
    match [' ', '.', '$', '/', '\\', '\0', '"'].into_iter().find(|c| name.contains(*c)) {
        Some(c) if name != "$external" => {
            let shown = PyString::new(value.py(), &c.to_string());
            refused(format!("database names cannot contain the character {}", shown.repr()?))
        }
        _ => Ok(name.to_owned()),
    }
}

/// An argument that may be `None`: PyMongo distinguishes it from one that was not given.
#[derive(Default)]
pub(crate) struct Given(Option<Py<PyAny>>);

impl Given {
    /// The argument, if it was given.
    pub(crate) fn value(self) -> Option<Py<PyAny>> {
        self.0
    }
}

impl<'py> FromPyObject<'_, 'py> for Given {
    type Error = PyErr;

    fn extract(value: pyo3::Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self(Some(value.to_owned().unbind())))
    }
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

/// Checks that an argument is a mapping.
pub(crate) fn mapping(name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    match value.cast::<PyMapping>() {
        Ok(_) => Ok(()),
        Err(_) => Err(PyTypeError::new_err(format!(
            "{name} must be an instance of dict, bson.son.SON, or any other type that inherits from \
             collections.Mapping"
        ))),
    }
}

/// Checks that an argument can be a document.
pub(crate) fn document_type(name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = value.py();
    if value.cast::<PyDict>().is_ok()
        || value.is_instance(&py.import("collections.abc")?.getattr("MutableMapping")?)?
        || value.is_instance(&py.import("bson.raw_bson")?.getattr("RawBSONDocument")?)?
    {
        return Ok(());
    }
    Err(PyTypeError::new_err(format!(
        "{name} must be an instance of dict, bson.son.SON, bson.raw_bson.RawBSONDocument, or a type that inherits \
         from collections.MutableMapping"
    )))
}

/// Checks that an argument is a list.
pub(crate) fn list<'a, 'py>(name: &str, value: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyList>> {
    value.cast::<PyList>().map_err(|_| wrong_type(name, "a list", value))
}

/// `min` or `max` of a query: a mapping, or (name, value) pairs; `None` if it is empty.
pub(crate) fn bounds<'py>(spec: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if !spec.is_truthy()? {
        return Ok(None);
    }
    Ok(Some(match spec.cast::<PyMapping>() {
        Ok(_) => spec.clone(),
        Err(_) => PyDict::from_sequence(spec)?.into_any(),
    }))
}

/// The `spec` of a cursor's `min` and `max`: (name, value) pairs.
pub(crate) fn cursor_bounds<'py>(spec: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if spec.cast::<PyList>().is_err() && spec.cast::<PyTuple>().is_err() {
        return Err(wrong_type("spec", "an instance of list or tuple", spec));
    }
    bounds(spec)
}

/// The hint of a query: an index's name or its keys; `None` if the name is empty.
pub(crate) fn hint<'py>(hint: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    match hint.cast::<PyString>() {
        Ok(name) => Ok((!name.is_empty()?).then(|| hint.clone())),
        Err(_) => Ok(Some(index_document(hint)?.into_any())),
    }
}

/// An argument that is `True` or `False`.
fn flag(name: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    match value.cast::<PyBool>() {
        Ok(flag) => Ok(flag.is_true()),
        Err(_) => Err(PyTypeError::new_err(format!("{name} must be True or False, was: {name}={}", value.str()?))),
    }
}

/// An argument that is an `int`.
fn int(name: &str, expected: &str, value: &Bound<'_, PyAny>) -> PyResult<i64> {
    if !value.is_instance_of::<PyInt>() {
        return Err(wrong_type(name, expected, value));
    }
    value.extract::<i64>().map_err(|_| PyOverflowError::new_err("MongoDB can only handle up to 8-byte ints"))
}

fn not_negative(name: &str, number: i64) -> PyResult<u64> {
    u64::try_from(number).map_err(|_| PyValueError::new_err(format!("{name} must be >= 0")))
}

/// An argument of which only the truth counts.
pub(crate) fn truth(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value.is_truthy()
}

/// `upsert`.
pub(crate) fn upsert(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    flag("upsert", value)
}

/// `return_document`: `ReturnDocument.BEFORE` or `ReturnDocument.AFTER`, which are `False` and `True`.
pub(crate) fn return_document(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let expected = "ReturnDocument.BEFORE or ReturnDocument.AFTER";
    value.cast::<PyBool>().map(|flag| flag.is_true()).map_err(|_| wrong_type("return_document", expected, value))
}

/// `no_cursor_timeout` of `find`.
pub(crate) fn no_cursor_timeout(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    flag("no_cursor_timeout", value)
}

/// `allow_partial_results` of `find`.
pub(crate) fn allow_partial_results(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    flag("allow_partial_results", value)
}

/// `oplog_replay` of `find`.
pub(crate) fn oplog_replay(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    flag("oplog_replay", value)
}

/// `allow_disk_use` of `find`.
pub(crate) fn allow_disk_use(value: &Bound<'_, PyAny>) -> PyResult<Option<bool>> {
    if value.is_none() { Ok(None) } else { flag("allow_disk_use", value).map(Some) }
}

/// `allow_disk_use` of a cursor.
pub(crate) fn cursor_allow_disk_use(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value.cast::<PyBool>().map(|flag| flag.is_true()).map_err(|_| wrong_type("allow_disk_use", "a bool", value))
}

/// `skip` of `find`.
pub(crate) fn skip(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    not_negative("skip", int("skip", "an instance of int", value)?)
}

/// `skip` of a cursor.
pub(crate) fn cursor_skip(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    not_negative("skip", int("skip", "an integer", value)?)
}

/// `limit` of `find`.
pub(crate) fn limit(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    int("limit", "an instance of int", value)
}

/// `limit` of a cursor.
pub(crate) fn cursor_limit(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    int("limit", "an integer", value)
}

/// `batch_size` of `find` or a cursor.
pub(crate) fn batch_size(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    not_negative("batch_size", int("batch_size", "an integer", value)?)
}

/// The `mask` of a cursor's `add_option` and `remove_option`.
pub(crate) fn mask(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    int("mask", "an int", value)
}

fn milliseconds(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
    if value.is_none() {
        return Ok(None);
    }
    not_negative(name, int(name, "an integer or None", value)?).map(Some)
}

/// `max_time_ms` of a cursor.
pub(crate) fn max_time_ms(value: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
    milliseconds("max_time_ms", value)
}

/// `max_await_time_ms` of a cursor.
pub(crate) fn max_await_time_ms(value: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
    milliseconds("max_await_time_ms", value)
}

/// Refuses arguments that this client does not have.
pub(crate) fn not_supported<const N: usize>(arguments: [(&str, bool); N]) -> PyResult<()> {
    match arguments.iter().find(|(_, used)| *used) {
        Some((name, _)) => Err(PyNotImplementedError::new_err(format!("{name} is not supported: leave it out"))),
        None => Ok(()),
    }
}

/// `collation`: PyMongo's `Collation`, or a dict.
pub(crate) fn collation<'py>(collation: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if collation.cast::<PyDict>().is_ok() {
        return Ok(collation.clone());
    }
    let py = collation.py();
    // If there is an instance, its module has been imported.
    if py.import("sys")?.getattr("modules")?.contains("pymongo.collation")?
        && collation.is_instance(&py.import("pymongo.collation")?.getattr("Collation")?)?
    {
        return collation.getattr("document");
    }
    Err(PyTypeError::new_err("collation must be a dict, an instance of collation.Collation, or None"))
}

/// `sort` of a cursor: a field's name with its direction, or the names with their directions.
pub(crate) fn sort<'py>(
    key_or_list: &Bound<'py, PyAny>,
    direction: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    index_document(&index_list(key_or_list, direction)?)
}

/// `filter` of `find_one`: a query, or the `_id` to look for.
pub(crate) fn filter(py: Python<'_>, filter: Py<PyAny>) -> PyResult<Py<PyAny>> {
    if filter.bind(py).cast::<PyMapping>().is_ok() {
        return Ok(filter);
    }
    let by_id = PyDict::new(py);
    by_id.set_item("_id", filter)?;
    Ok(by_id.into_any().unbind())
}

/// `projection`: a document, or the names to include; `None` if it is empty, as with PyMongo.
pub(crate) fn projection<'py>(projection: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if projection.cast::<PyMapping>().is_ok() {
        return Ok(Some(projection.clone()).filter(|projection| !projection.is_empty().unwrap_or(false)));
    }
    let py = projection.py();
    if projection.cast::<PySequence>().is_err()
        && !projection.is_instance(&py.import("collections.abc")?.getattr("Set")?)?
    {
        return Err(PyTypeError::new_err("projection must be a mapping or list of key names"));
    }
    let names = PyDict::new(py);
    for name in projection.try_iter()? {
        let name = name?;
        name.cast::<PyString>()
            .map_err(|_| PyTypeError::new_err("projection must be a list of key names, each an instance of str"))?;
        names.set_item(name, 1)?;
    }
    Ok((!names.is_empty()).then(|| names.into_any()))
}

/// A name with a direction, or the names of an index or a sort order, as PyMongo lists them.
fn index_list<'py>(
    key_or_list: &Bound<'py, PyAny>,
    direction: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = key_or_list.py();
    let is_name = key_or_list.cast::<PyString>().is_ok();
    if let Some(direction) = direction {
        if !is_name {
            return Err(PyTypeError::new_err(format!(
                "Expected a string and a direction, not {}",
                key_or_list.get_type()
            )));
        }
        return Ok(PyList::new(py, [(key_or_list, direction)])?.into_any());
    }
    if is_name {
        return Ok(PyList::new(py, [(key_or_list, 1)])?.into_any());
    }
    if key_or_list.cast::<PyMapping>().is_ok()
        || key_or_list.cast::<PyList>().is_ok()
        || key_or_list.cast::<PyTuple>().is_ok()
    {
        return Ok(key_or_list.clone());
    }
    if key_or_list.is_instance(&py.import("collections.abc")?.getattr("ItemsView")?)? {
        return Ok(key_or_list
            .try_iter()?
            .collect::<PyResult<Vec<_>>>()
            .and_then(|items| PyList::new(py, items))?
            .into_any());
    }
    Err(PyTypeError::new_err(format!(
        "if no direction is specified, key_or_list must be an instance of list, not {}",
        key_or_list.get_type()
    )))
}

/// The names of an index or a sort order with their directions: a mapping, or a list of names or of
/// (name, direction) pairs.
pub(crate) fn index_document<'py>(keys: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let ordered = PyDict::new(keys.py());
    let add = |name: Bound<'py, PyAny>, direction: Bound<'py, PyAny>| {
        if name.cast::<PyString>().is_err() {
            return Err(wrong_type("first item in each key pair", "an instance of str", &name));
        }
        let is_direction = direction.is_instance_of::<PyInt>()
            || direction.cast::<PyString>().is_ok()
            || direction.cast::<PyMapping>().is_ok();
        if !is_direction {
            let expected = "1, -1, '2d', or another valid MongoDB index specifier.";
            return Err(wrong_type("second item in each key pair", expected, &direction));
        }
        ordered.set_item(name, direction)
    };
    let is_list = keys.cast::<PyList>().is_ok() || keys.cast::<PyTuple>().is_ok();
    if !is_list && keys.cast::<PyMapping>().is_err() {
        return Err(PyTypeError::new_err(format!(
            "must use a dictionary or a list of (key, direction) pairs, not: {}",
            keys.repr()?
        )));
    }
    if keys.len()? == 0 {
        return Err(PyValueError::new_err("key_or_list must not be empty"));
    }
    for key in keys.try_iter()? {
        let key = key?;
        if !is_list {
            let direction = keys.get_item(&key)?;
            add(key, direction)?;
        } else if key.cast::<PyString>().is_ok() {
            add(key, 1_i64.into_pyobject(keys.py())?.into_any())?;
        } else {
            let (name, direction) = pair(&key)?;
            add(name, direction)?;
        }
    }
    Ok(ordered)
}

/// Unpacks a pair, with Python's messages.
fn pair<'py>(key: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let Ok(items) = key.try_iter() else {
        let class = key.get_type();
        return Err(PyTypeError::new_err(format!("cannot unpack non-iterable {} object", class.name()?)));
    };
    let mut items = items.collect::<PyResult<Vec<_>>>()?.into_iter();
    match (items.next(), items.next(), items.next()) {
        (Some(name), Some(direction), None) => Ok((name, direction)),
        (_, _, Some(_)) => Err(PyValueError::new_err("too many values to unpack (expected 2)")),
        (first, ..) => Err(PyValueError::new_err(format!(
            "not enough values to unpack (expected 2, got {})",
            usize::from(first.is_some())
        ))),
    }
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
    /// A document.
    Document(Option<Py<PyAny>>),
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
    /// Keywords that are fields of the command, under the names that they were given.
    More(Py<PyDict>),
}

impl Opt {
    /// Whether it was given.
    pub(crate) fn is_given(&self) -> bool {
        match self {
            Self::Flag(flag) => *flag == Some(true),
            Self::More(_) => true,
            Self::Value(value)
            | Self::List(value)
            | Self::Mapping(value)
            | Self::Document(value)
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
    document(codec, given_values(py, opts)?.as_any())
}

/// As [`given`], but not encoded.
pub(crate) fn given_values<'py>(py: Python<'py>, opts: &Opts) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, opt) in opts {
        match opt {
            Opt::Flag(Some(flag)) => dict.set_item(name, flag)?,
            Opt::Value(Some(value)) => dict.set_item(name, value)?,
            Opt::List(Some(value)) => {
                let argument = if *name == "arrayFilters" { "array_filters" } else { name };
                dict.set_item(name, list(argument, value.bind(py))?)?;
            }
            Opt::Mapping(Some(value)) => {
                mapping(name, value.bind(py))?;
                dict.set_item(name, value)?;
            }
            Opt::Document(Some(value)) => {
                document_type(name, value.bind(py))?;
                dict.set_item(name, value)?;
            }
            Opt::Keys(Some(value)) => dict.set_item(name, index_document(value.bind(py))?)?,
            Opt::Index(Some(value)) => match value.bind(py).cast::<PyString>() {
                Ok(index) => dict.set_item(name, index)?,
                Err(_) => dict.set_item(name, index_document(value.bind(py))?)?,
            },
            Opt::More(keywords) => {
                dict.call_method1("update", (keywords,))?;
            }
            Opt::Collation(Some(value)) => dict.set_item(name, collation(value.bind(py))?)?,
            Opt::Projection(Some(value)) => {
                if let Some(names) = projection(value.bind(py))? {
                    dict.set_item(name, names)?;
                }
            }
            _ => {}
        }
    }
    Ok(dict)
}

/// `filter` of a write: a query. `bulk.py` asks for it too.
#[pyfunction]
#[pyo3(name = "_write_filter", signature = (filter, /))]
pub(crate) fn write_filter<'py>(filter: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    mapping("filter", filter)?;
    Ok(filter.clone())
}

/// `update`: a document of operators, or a pipeline. `bulk.py` asks for it too.
#[pyfunction]
#[pyo3(name = "_update", signature = (update, /))]
pub(crate) fn update<'py>(update: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let empty = || PyValueError::new_err("update cannot be empty");
    if let Ok(stages) = update.cast::<PyList>() {
        return if stages.is_empty() { Err(empty()) } else { Ok(update.clone()) };
    }
    let Ok(mapping) = update.cast::<PyMapping>() else {
        return Err(PyTypeError::new_err(
            "update must either be a list or an instance of dict, bson.son.SON, or any other type that inherits from \
             collections.Mapping",
        ));
    };
    if mapping.is_empty()? {
        return Err(empty());
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
    mapping("replacement", replacement)?;
    if first_name(replacement)?.starts_with('$') {
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
    let stages = list("pipeline", pipeline)?;
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
pub(crate) fn aggregation(kwargs: Option<&Bound<'_, PyDict>>, database_class: &str) -> PyResult<Opts> {
    let Some(kwargs) = kwargs else { return Ok(Opts::new()) };
    if kwargs.contains("explain")? {
        let message = format!("The explain option is not supported. Use {database_class}.command instead.");
        return Err(configuration_error(kwargs.py(), message));
    }
    for name in ["aggregate", "pipeline"] {
        if kwargs.contains(name)? {
            let message = format!("The {name} option cannot be specified as a keyword argument.");
            return Err(configuration_error(kwargs.py(), message));
        }
    }
    let mut batch_size = kwargs.get_item("batchSize")?;
    if let Some(cursor) = kwargs.get_item("cursor")? {
        kwargs.del_item("cursor")?;
        batch_size = batch_size.or(cursor.get_item("batchSize").ok());
    }
    kwargs.del_item("batchSize").ok();
    let batch_size = batch_size.filter(|size| !size.is_none()).map(|size| valid_batch_size(&size)).transpose()?;
    let mut opts = more(
        Some(kwargs),
        &[
            ("allowDiskUse", Form::Value),
            ("bypassDocumentValidation", Form::Value),
            ("bypass_document_validation", Form::Named("bypassDocumentValidation")),
            ("collation", Form::Collation),
            ("hint", Form::Index),
            ("maxTimeMS", Form::Value),
            ("maxAwaitTimeMS", Form::Value),
        ],
    )?;
    if let Some(size) = batch_size {
        opts.push(("batchSize", Opt::Value(Some(size.into_pyobject(kwargs.py())?.into_any().unbind()))));
    }
    Ok(opts)
}

/// `batchSize` of `aggregate`: an `int`, or a text with one.
fn valid_batch_size(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    let number = match value.cast::<PyString>() {
        Ok(text) => text
            .to_str()?
            .trim()
            .parse()
            .map_err(|_| PyValueError::new_err("The value of batchSize must be an integer"))?,
        Err(_) if value.is_instance_of::<PyInt>() => value.extract::<i64>()?,
        Err(_) => {
            let message = format!("Wrong type for batchSize, value must be an integer, not {}", value.get_type());
            return Err(PyTypeError::new_err(message));
        }
    };
    if number < 0 {
        return Err(PyValueError::new_err("The value of batchSize must be a non negative integer"));
    }
    Ok(number)
}

/// Keywords of any name: they become fields of the command.
pub(crate) fn any(kwargs: Option<&Bound<'_, PyDict>>) -> Opts {
    match kwargs {
        Some(kwargs) => vec![("", Opt::More(kwargs.clone().unbind()))],
        None => Opts::new(),
    }
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

/// Keywords beyond the named arguments. The server decides about those of other names.
pub(crate) fn more(kwargs: Option<&Bound<'_, PyDict>>, known: &[(&'static str, Form)]) -> PyResult<Opts> {
    let mut opts = Opts::new();
    let Some(kwargs) = kwargs else { return Ok(opts) };
    let others = PyDict::new(kwargs.py());
    for (name, value) in kwargs {
        let text = name.extract::<String>()?;
        let Some((known, form)) = known.iter().find(|(known, _)| *known == text) else {
            others.set_item(name, value)?;
            continue;
        };
        let value = (!value.is_none()).then(|| value.unbind());
        opts.push(match form {
            Form::Value => (*known, Opt::Value(value)),
            Form::Named(name) => (*name, Opt::Value(value)),
            Form::Index => (*known, Opt::Index(value)),
            Form::Collation => (*known, Opt::Collation(value)),
        });
    }
    if !others.is_empty() {
        opts.push(("", Opt::More(others.unbind())));
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
pub(crate) fn index(keys: &Bound<'_, PyAny>, more: Option<&Bound<'_, PyDict>>) -> PyResult<Document> {
    let keys = index_list(keys, None)?;
    let key = index_document(&keys)?;
    let mut index = Document::new();
    for (option, value) in more.into_iter().flatten() {
        let option = option.extract::<String>()?;
        match option.as_str() {
            "name" | "collation" if value.is_none() => {}
            "collation" => {
                index.insert(option, bson_value(&DEFAULT, &collation(&value)?)?);
            }
            _ => {
                index.insert(option, bson_value(&DEFAULT, &value)?);
            }
        }
    }
    if !index.contains_key("name") {
        index.insert("name", index_name(key.as_any())?);
    }
    index.insert("key", document(&DEFAULT, key.as_any())?);
    Ok(index)
}

/// `index_or_name` of `drop_index`: a name, or a list of the keys, from which the name is derived.
pub(crate) fn index_or_name(index_or_name: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(name) = index_or_name.cast::<PyString>() {
        return Ok(name.to_str()?.to_owned());
    }
    match index_or_name.cast::<PyList>() {
        Ok(keys) if keys.is_empty() => Ok(String::new()),
        Ok(keys) => index_name(index_document(keys.as_any())?.as_any()),
        Err(_) => Err(wrong_type("index_or_name", "an instance of str or list", index_or_name)),
    }
}

/// The default name of an index.
fn index_name(keys: &Bound<'_, PyAny>) -> PyResult<String> {
    let mut parts = Vec::new();
    for (name, direction) in keys.cast::<PyDict>()? {
        parts.push(format!("{}_{}", name.str()?, direction.str()?));
    }
    Ok(parts.join("_"))
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
