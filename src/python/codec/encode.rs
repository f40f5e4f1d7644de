//! Python ► bytes.
//!
//! The types of JSON, `ObjectId` and mappings are written here. Everything
//! else (dates, `Decimal128`, regular expressions, subclasses, …) is encoded
//! by `bson` itself, value by value, and spliced in, so that its bytes and its
//! errors are PyMongo's by construction.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use bson::{RawBsonRef, RawDocument};
use pyo3::Borrowed;
use pyo3::exceptions::{
    PyException, PyOverflowError, PyRecursionError, PyTypeError, PyUnicodeEncodeError, PyValueError,
};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};

use super::super::errors::{bson_error, to_py};
use super::super::once::intern;
use super::options::{Codec, DEFAULT};
use super::types::BsonTypes;
use crate::codec::writer::{BsonWriter, Key, Sink};
use crate::codec::{MAX_DEPTH, check_elements};
use crate::events::schema::Model;
use crate::events::validate::MAX_DEPTH as MAX_EVENT_DEPTH;
use crate::events::writer::EventWriter;
use crate::runtime::process;

/// A document on its way into MongoDB.
pub struct Encoded {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its `_id`.
    pub id: Id,
}

/// The `_id` of a document that is inserted.
pub enum Id {
    /// Made here.
    Made([u8; 12]),
    /// The document's own.
    Given(Py<PyAny>),
}

impl Id {
    /// The `_id` as Python has it.
    pub fn to_py(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Self::Made(bytes) => Ok(BsonTypes::get(py)?.object_id(py, bytes)?.unbind()),
            Self::Given(id) => Ok(id.clone_ref(py)),
        }
    }
}

/// Encodes a document as `bson.encode` does: its `_id`, if it has one, first.
pub(super) fn encode(document: &Bound<'_, PyAny>, codec: &Codec, out: &mut impl Sink) -> PyResult<()> {
    let mut walk = Walk::new(document.py(), codec)?;
    walk.root(document, out, None).map(drop).map_err(|error| error.into_py(document))
}

/// Encodes a document with its fields in their order.
pub(super) fn encode_in_order(document: &Bound<'_, PyAny>, codec: &Codec, out: &mut impl Sink) -> PyResult<()> {
    let Ok(dict) = document.cast::<PyDict>() else {
        let mut walk = Walk::new(document.py(), codec)?;
        return walk.in_order(document, out).map_err(|error| error.into_py(document));
    };
    let mut walk = Walk::new(document.py(), codec)?;
    let mark = out.begin_root();
    walk.dict_fields(dict, out, 0, false).map_err(|error| error.into_py(document))?;
    out.end(mark);
    Ok(())
}

/// Encodes a document for an insert: with an `_id` first, a new one if it has none.
pub(super) fn encode_into(document: &Bound<'_, PyAny>, codec: &Codec, out: &mut impl Sink) -> PyResult<Id> {
    let made = process().object_id().bytes();
    let mut walk = Walk::new(document.py(), codec)?;
    let given = walk.root(document, out, Some(made)).map_err(|error| error.into_py(document))?;
    Ok(given.map_or(Id::Made(made), |id| Id::Given(id.unbind())))
}

/// Encodes a `dict` of JSON's types, its fields in their order; gives the bytes,
/// and whether they may not be what the model says.
pub fn encode_event(document: &Bound<'_, PyDict>, model: &'static Model) -> PyResult<(Vec<u8>, bool)> {
    let mut out = EventWriter::new(model, LAST_SIZE.load(Ordering::Relaxed));
    let mut walk = Walk::new(document.py(), &DEFAULT)?;
    let mark = out.begin_root();
    // The nesting is bounded by what MongoDB stores: a level is one of Python's stack here.
    walk.dict_fields(document, &mut out, MAX_DEPTH - MAX_EVENT_DEPTH, false)
        .map_err(|error| error.into_py(document))?;
    out.end(mark);
    let (bytes, doubtful) = out.finish();
    LAST_SIZE.store((bytes.len() + bytes.len() / 8).clamp(512, 64 * 1024), Ordering::Relaxed);
    Ok((bytes, doubtful))
}

/// Encodes a document, or a list of documents.
pub(super) fn encode_any(value: &Bound<'_, PyAny>, codec: &Codec, out: &mut impl Sink) -> PyResult<()> {
    let Ok(list) = value.cast::<PyList>() else { return encode(value, codec, out) };
    let mut walk = Walk::new(value.py(), codec)?;
    let mark = out.begin_list();
    for (place, item) in list.iter().enumerate() {
        walk.value(Key::Index(place), &item, out, 0).at(|| Step::Place(place)).map_err(|error| error.into_py(value))?;
    }
    out.end(mark);
    Ok(())
}

/// Encodes any value as the element `v` of a document.
pub(super) fn encode_value(value: &Bound<'_, PyAny>, codec: &Codec) -> PyResult<Vec<u8>> {
    let mut out = BsonWriter::default();
    let mark = out.begin_root();
    let mut walk = Walk::new(value.py(), codec)?;
    walk.value(Key::Name("v"), value, &mut out, 0).map_err(|error| error.into_py(value))?;
    out.end(mark);
    Ok(out.buf)
}

impl Encoded {
    /// Encodes a document for an insert, as BSON.
    pub(super) fn for_insert(document: &Bound<'_, PyAny>, codec: &Codec) -> PyResult<Self> {
        let mut out = BsonWriter::with_capacity(LAST_SIZE.load(Ordering::Relaxed));
        let id = encode_into(document, codec, &mut out)?;
        // Documents of a kind are about as long.
        LAST_SIZE.store((out.buf.len() + out.buf.len() / 8).clamp(512, 64 * 1024), Ordering::Relaxed);
        Ok(Self { bytes: out.buf, id })
    }
}

static LAST_SIZE: AtomicUsize = AtomicUsize::new(4096);

enum Step {
    Field(String),
    Place(usize),
}

/// Why a document cannot be encoded, and where.
struct Failed {
    error: PyErr,
    /// From the inside out.
    path: Vec<Step>,
}

type Walked<T> = Result<T, Box<Failed>>;

trait At<T> {
    fn at(self, step: impl FnOnce() -> Step) -> Walked<T>;
}

impl<T> At<T> for Walked<T> {
    #[inline(always)]
    fn at(self, step: impl FnOnce() -> Step) -> Self {
        match self {
            Ok(done) => Ok(done),
            Err(failed) => Err(failed.within(step())),
        }
    }
}

impl From<PyErr> for Box<Failed> {
    fn from(error: PyErr) -> Self {
        Self::new(Failed { error, path: Vec::new() })
    }
}

impl Failed {
    #[cold]
    fn within(mut self: Box<Self>, step: Step) -> Box<Self> {
        self.path.push(step);
        self
    }

    fn path(&self) -> String {
        // An endless recursion has an endless path: its beginning will do.
        const SHOWN: usize = 12;
        let mut text = String::new();
        for step in self.path.iter().rev().take(SHOWN) {
            match step {
                Step::Field(name) if text.is_empty() => text.push_str(name),
                Step::Field(name) => drop(write!(text, ".{name}")),
                Step::Place(place) => drop(write!(text, "[{place}]")),
            }
        }
        if self.path.len() > SHOWN {
            text.push('…');
        }
        text
    }

    /// The same error with the path in its message.
    fn into_py(self, document: &Bound<'_, PyAny>) -> PyErr {
        let py = document.py();
        if self.path.is_empty() {
            return self.error;
        }
        let path = self.path();
        let value = self.error.value(py);
        if self.error.is_instance_of::<PyUnicodeEncodeError>(py) {
            // Its message is made from its fields.
            if let Ok(reason) = value.getattr(intern!(py, "reason")) {
                drop(value.setattr(intern!(py, "reason"), format!("{reason} (in '{path}')")));
            }
            return self.error;
        }
        let class = value.get_type();
        let message = format!("{value} (in '{path}')");
        let bson_class = |name| bson_error(py, name).is_ok_and(|known| class.is(known));
        if bson_class("InvalidDocument") {
            return PyErr::from_type(class, (message, document.clone().unbind()));
        }
        let rebuilt = bson_class("InvalidStringData")
            || class.is(py.get_type::<PyValueError>())
            || class.is(py.get_type::<PyTypeError>())
            || class.is(py.get_type::<PyOverflowError>())
            || class.is(py.get_type::<PyRecursionError>());
        if rebuilt { PyErr::from_type(class, (message,)) } else { self.error }
    }
}

struct Walk<'c, 'py> {
    py: Python<'py>,
    types: &'static BsonTypes,
    codec: &'c Codec,
}

impl<'c, 'py> Walk<'c, 'py> {
    fn new(py: Python<'py>, codec: &'c Codec) -> PyResult<Self> {
        Ok(Self { py, types: BsonTypes::get(py)?, codec })
    }

    /// Writes the outermost document; gives its own `_id`, if it has one.
    fn root<S: Sink>(
        &mut self,
        document: &Bound<'py, PyAny>,
        out: &mut S,
        make_id: Option<[u8; 12]>,
    ) -> Walked<Option<Bound<'py, PyAny>>> {
        if let Ok(dict) = document.cast::<PyDict>() {
            let id = dict.get_item(intern!(self.py, "_id"))?;
            return self.root_fields(id, out, make_id, |walk, out| walk.dict_fields(dict, out, 0, true));
        }
        if type_marker(document)? == Some(RAW_DOCUMENT) {
            return self.raw_root(document, out, make_id);
        }
        if document.is_instance(self.types.mapping.bind(self.py))? {
            let id = match document.contains(intern!(self.py, "_id"))? {
                true => Some(document.get_item(intern!(self.py, "_id"))?),
                false => None,
            };
            return self.root_fields(id, out, make_id, |walk, out| walk.mapping_fields(document, out, 0, true));
        }
        Err(PyTypeError::new_err(format!("encoder expected a mapping type but got: {}", document.get_type())).into())
    }

    /// Writes an outermost document that is no `dict`, its fields in their order.
    fn in_order<S: Sink>(&mut self, document: &Bound<'py, PyAny>, out: &mut S) -> Walked<()> {
        if type_marker(document)? == Some(RAW_DOCUMENT) || !document.is_instance(self.types.mapping.bind(self.py))? {
            return self.root(document, out, None).map(drop);
        }
        let mark = out.begin_root();
        self.mapping_fields(document, out, 0, false)?;
        out.end(mark);
        Ok(())
    }

    fn root_fields<S: Sink>(
        &mut self,
        id: Option<Bound<'py, PyAny>>,
        out: &mut S,
        make_id: Option<[u8; 12]>,
        fields: impl FnOnce(&mut Self, &mut S) -> Walked<()>,
    ) -> Walked<Option<Bound<'py, PyAny>>> {
        let mark = out.begin_root();
        match (&id, make_id) {
            (Some(id), _) => {
                self.value(Key::Name("_id"), id, out, 0).at(|| Step::Field("_id".to_owned()))?;
            }
            (None, Some(made)) => out.object_id(Key::Name("_id"), made),
            (None, None) => {}
        }
        fields(self, out)?;
        out.end(mark);
        Ok(id)
    }

    /// A `RawBSONDocument` goes as it is, behind an `_id` where it needs one.
    fn raw_root<S: Sink>(
        &mut self,
        document: &Bound<'py, PyAny>,
        out: &mut S,
        make_id: Option<[u8; 12]>,
    ) -> Walked<Option<Bound<'py, PyAny>>> {
        let bytes = raw_bytes(document)?;
        let raw = self.raw(&bytes)?;
        let wrapper = match make_id {
            // What is inserted begins with its `_id`.
            Some(_) => raw.iter().flatten().find_map(|(_, value)| out.wrapper_in(value)),
            None => out.wrapper_in(RawBsonRef::Document(raw)),
        };
        if let Some(name) = wrapper {
            return Err(self.wrapper(name));
        }
        let has_id = matches!(raw.get("_id"), Ok(Some(_)));
        out.root_document(raw, make_id.filter(|_| !has_id)).map_err(|error| to_py(self.py, error))?;
        match has_id {
            true => Ok(Some(document.get_item(intern!(self.py, "_id"))?)),
            false => Ok(None),
        }
    }

    /// The bytes of a `RawBSONDocument`, once all of them have been read: a
    /// damaged one must not spoil what it is sent with.
    fn raw<'b>(&self, bytes: &'b [u8]) -> Walked<&'b RawDocument> {
        let raw = RawDocument::from_bytes(bytes).map_err(|error| invalid_raw(self.py, &error))?;
        check_elements(raw, 0).map_err(|error| to_py(self.py, error))?;
        Ok(raw)
    }

    /// Writes a value of one of JSON's own scalar types; gives whether it was one. Runs no Python code.
    #[inline]
    fn plain<S: Sink>(&self, key: Key<'_>, value: &Bound<'py, PyAny>, out: &mut S) -> Walked<bool> {
        if let Ok(text) = value.cast_exact::<PyString>() {
            out.string(key, text.to_str()?);
        } else if value.is_none() {
            out.null(key);
        } else if let Ok(number) = value.cast_exact::<PyInt>() {
            self.integer(key, number, out)?;
        } else if let Ok(flag) = value.cast_exact::<PyBool>() {
            out.boolean(key, flag.is_true());
        } else if let Ok(number) = value.cast_exact::<PyFloat>() {
            out.double(key, number.value());
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn value<S: Sink>(&mut self, key: Key<'_>, value: &Bound<'py, PyAny>, out: &mut S, depth: usize) -> Walked<()> {
        if self.plain(key, value, out)? { Ok(()) } else { self.nested(key, value, out, depth) }
    }

    /// Writes what is none of JSON's scalars.
    fn nested<S: Sink>(&mut self, key: Key<'_>, value: &Bound<'py, PyAny>, out: &mut S, depth: usize) -> Walked<()> {
        if let Ok(dict) = value.cast::<PyDict>() {
            let depth = self.enter(depth)?;
            let mark = out.begin(key, false);
            let walked = self.dict_fields(dict, out, depth, false);
            leave();
            walked?;
            out.end(mark);
        } else if let Ok(list) = value.cast::<PyList>() {
            self.sequence(key, list.len(), |place| list.get_item(place).ok(), out, depth)?;
        } else if S::JSON {
            return Err(PyTypeError::new_err("no value of JSON").into());
        } else if let Ok(tuple) = value.cast::<PyTuple>() {
            self.sequence(key, tuple.len(), |place| tuple.get_item(place).ok(), out, depth)?;
        } else if let Ok(bytes) = value.cast_exact::<PyBytes>() {
            out.bytes(key, bytes.as_bytes());
        } else {
            self.other(key, value, out, depth)?;
        }
        Ok(())
    }

    fn integer(&self, key: Key<'_>, number: &Bound<'py, PyInt>, out: &mut impl Sink) -> Walked<()> {
        let mut overflow = 0;
        // SAFETY: `number` is an int, and the call only reads it.
        let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(number.as_ptr(), &raw mut overflow) };
        if overflow != 0 {
            return Err(PyOverflowError::new_err("MongoDB can only handle up to 8-byte ints").into());
        }
        match i32::try_from(value) {
            Ok(value) => out.int32(key, value),
            Err(_) => out.int64(key, value),
        }
        Ok(())
    }

    fn sequence<S: Sink>(
        &mut self,
        key: Key<'_>,
        length: usize,
        item: impl Fn(usize) -> Option<Bound<'py, PyAny>>,
        out: &mut S,
        depth: usize,
    ) -> Walked<()> {
        let depth = self.enter(depth)?;
        let mark = out.begin(key, true);
        let mut walked = Ok(());
        for place in 0..length {
            // Python code that runs meanwhile may have made the list shorter.
            let Some(item) = item(place) else { break };
            walked = self.value(Key::Index(place), &item, out, depth).at(|| Step::Place(place));
            if walked.is_err() {
                break;
            }
        }
        leave();
        walked?;
        out.end(mark);
        Ok(())
    }

    fn dict_fields<S: Sink>(&mut self, dict: &Bound<'py, PyDict>, out: &mut S, depth: usize, root: bool) -> Walked<()> {
        let (mut key, mut value) = (std::ptr::null_mut(), std::ptr::null_mut());
        let mut position = 0;
        // SAFETY: `dict` is a dict, and what PyDict_Next lends stays alive as
        // long as no Python code runs. `plain` runs none; whatever may is given
        // holds of its own. The dict may then change: the position still is
        // within it or past its end. (PyO3's own iterator would panic, and
        // would count references for each key and value.)
        while unsafe { ffi::PyDict_Next(dict.as_ptr(), &raw mut position, &raw mut key, &raw mut value) } != 0 {
            let (key, value) = unsafe { (Borrowed::from_ptr(self.py, key), Borrowed::from_ptr(self.py, value)) };
            if let Ok(name) = key.cast_exact::<PyString>() {
                let name = name.to_str()?;
                if !(has_nul(name.as_bytes()) || root && name == "_id") {
                    self.refuse_wrapper(name, out)?;
                    if !self.plain(Key::Name(name), &value, out).at(|| Step::Field(name.to_owned()))? {
                        let (_kept, value) = (key.to_owned(), value.to_owned());
                        self.nested(Key::Name(name), &value, out, depth).at(|| Step::Field(name.to_owned()))?;
                    }
                    continue;
                }
            }
            self.field(&key.to_owned(), &value.to_owned(), out, depth, root)?;
        }
        Ok(())
    }

    fn mapping_fields<S: Sink>(
        &mut self,
        mapping: &Bound<'py, PyAny>,
        out: &mut S,
        depth: usize,
        root: bool,
    ) -> Walked<()> {
        for key in mapping.try_iter()? {
            let key = key?;
            let value = mapping.get_item(&key)?;
            self.field(&key, &value, out, depth, root)?;
        }
        Ok(())
    }

    fn field<S: Sink>(
        &mut self,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        out: &mut S,
        depth: usize,
        root: bool,
    ) -> Walked<()> {
        let Ok(name) = key.cast::<PyString>() else {
            let message = format!("Invalid document: documents must have only string keys, key was {}", key.repr()?);
            return Err(bson_exception(self.py, "InvalidDocument", message).into());
        };
        let name = name.to_str()?;
        if has_nul(name.as_bytes()) {
            let message = "Invalid document: Key names must not contain the NULL byte";
            return Err(bson_exception(self.py, "InvalidDocument", message.to_owned()).into());
        }
        if root && name == "_id" {
            return Ok(());
        }
        self.refuse_wrapper(name, out)?;
        self.value(Key::Name(name), value, out, depth).at(|| Step::Field(name.to_owned()))
    }

    /// Refuses a document that would come back as something else.
    #[inline]
    fn refuse_wrapper(&self, name: &str, out: &impl Sink) -> Walked<()> {
        if name.starts_with('$') && out.is_wrapper(name) { Err(self.wrapper(name)) } else { Ok(()) }
    }

    #[cold]
    fn wrapper(&self, name: &str) -> Box<Failed> {
        let message = format!(
            "Invalid document: the Data API takes a document that begins with the field {name} for the Extended JSON \
             of another type: use the type of bson that is meant, or the driver path"
        );
        bson_exception(self.py, "InvalidDocument", message).into()
    }

    /// Writes a value that is BSON already.
    fn encoded<S: Sink>(&self, key: Key<'_>, value: RawBsonRef<'_>, encoded: &[u8], out: &mut S) -> Walked<()> {
        if let Some(name) = out.wrapper_in(value) {
            return Err(self.wrapper(name));
        }
        out.value(key, value, encoded).map_err(|error| to_py(self.py, error).into())
    }

    /// What is none of JSON's own types.
    fn other<S: Sink>(&mut self, key: Key<'_>, value: &Bound<'py, PyAny>, out: &mut S, depth: usize) -> Walked<()> {
        if value.get_type().is(self.types.object_id.bind(self.py)) {
            let id = value.getattr(intern!(self.py, "binary"))?;
            if let Ok(id) = <[u8; 12]>::try_from(id.extract::<&[u8]>().map_err(PyErr::from)?) {
                out.object_id(key, id);
                return Ok(());
            }
        }
        match type_marker(value)? {
            Some(RAW_DOCUMENT) => {
                let bytes = raw_bytes(value)?;
                let raw = self.raw(&bytes)?;
                return self.encoded(key, RawBsonRef::Document(raw), raw.as_bytes(), out);
            }
            Some(_) => return self.spliced(key, value, out),
            None => {}
        }
        if value.is_instance(self.types.mapping.bind(self.py))? {
            let depth = self.enter(depth)?;
            let mark = out.begin(key, false);
            let walked = self.mapping_fields(value, out, depth, false);
            leave();
            walked?;
            out.end(mark);
        } else {
            self.spliced(key, value, out)?;
        }
        Ok(())
    }

    /// Lets `bson` encode the value.
    fn spliced<S: Sink>(&self, key: Key<'_>, value: &Bound<'py, PyAny>, out: &mut S) -> Walked<()> {
        let holder = PyDict::new(self.py);
        holder.set_item(intern!(self.py, "v"), value)?;
        let encode = self.types.encode.bind(self.py);
        let encoded = match self.codec.given() {
            None => encode.call1((holder,)),
            // (document, check_keys, codec_options)
            Some(options) => encode.call1((holder, false, options)),
        };
        let encoded = encoded.map_err(|error| self.explained(error, value))?;
        let bytes = encoded.cast::<PyBytes>().map_err(PyErr::from)?.as_bytes();
        let document = RawDocument::from_bytes(bytes).map_err(|error| invalid_raw(self.py, &error))?;
        let element = document.get("v").map_err(|error| invalid_raw(self.py, &error))?;
        // Length, type, "v" and NUL before it; NUL after it.
        let (Some(element), Some(encoded)) = (element, bytes.get(7..bytes.len().saturating_sub(1))) else {
            return Err(PyException::new_err("bson.encode gave no element").into());
        };
        self.encoded(key, element, encoded, out)
    }

    /// The same error, without the value itself in its message, and with what to do.
    fn explained(&self, error: PyErr, value: &Bound<'py, PyAny>) -> PyErr {
        let refused = bson_error(self.py, "InvalidDocument").is_ok_and(|class| error.is_instance(self.py, &class));
        if !refused || !error.value(self.py).to_string().contains("cannot encode object") {
            return error;
        }
        let class = value.get_type();
        let hint = match class.name().map(|name| name.to_string()).as_deref() {
            Ok("Decimal") => "; use bson.Decimal128",
            Ok("set" | "frozenset" | "deque" | "generator" | "dict_keys" | "dict_values") => "; use a list",
            Ok("date") => "; use a datetime",
            Ok("timedelta") => "; use a number of seconds",
            _ => "",
        };
        bson_exception(
            self.py,
            "InvalidDocument",
            format!("Invalid document: cannot encode object of type: {class}{hint}"),
        )
    }

    /// One level deeper. Pairs with [`leave`].
    fn enter(&self, depth: usize) -> Walked<usize> {
        if depth >= MAX_DEPTH {
            let message = "maximum recursion depth exceeded while encoding an object to BSON";
            return Err(PyRecursionError::new_err(message).into());
        }
        // SAFETY: the GIL is held, and the text is a C string.
        if unsafe { ffi::Py_EnterRecursiveCall(c" while encoding an object to BSON ".as_ptr()) } != 0 {
            return Err(PyErr::fetch(self.py).into());
        }
        Ok(depth + 1)
    }
}

/// Whether there is a NUL. Names are short: eight bytes at a time beat a vectorized search.
fn has_nul(bytes: &[u8]) -> bool {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut chunks = bytes.chunks_exact(8);
    let in_chunks = chunks.by_ref().any(|chunk| {
        let word = chunk.try_into().map_or(0, u64::from_le_bytes);
        word.wrapping_sub(LOW) & !word & HIGH != 0
    });
    in_chunks || chunks.remainder().contains(&0)
}

fn leave() {
    // SAFETY: only called after `enter`, with the GIL held.
    unsafe { ffi::Py_LeaveRecursiveCall() };
}

/// `RawBSONDocument._type_marker`.
const RAW_DOCUMENT: i64 = 101;

/// What `bson` itself tells its classes by.
fn type_marker(value: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
    let marker = value.getattr_opt(intern!(value.py(), "_type_marker"))?;
    Ok(marker.and_then(|marker| marker.cast_exact::<PyInt>().ok()?.extract().ok()))
}

fn raw_bytes(document: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let raw = document.getattr(intern!(document.py(), "raw"))?;
    // bytes, or a memoryview of them.
    document.py().get_type::<PyBytes>().call1((raw,))?.extract()
}

fn bson_exception(py: Python<'_>, name: &str, message: String) -> PyErr {
    match bson_error(py, name) {
        Ok(class) => PyErr::from_type(
            class.cast::<PyType>().cloned().unwrap_or_else(|_| py.get_type::<PyValueError>()),
            (message,),
        ),
        Err(error) => error,
    }
}

fn invalid_raw(py: Python<'_>, error: &bson::error::Error) -> PyErr {
    bson_exception(py, "InvalidBSON", format!("not a BSON document: {error}"))
}
