//! Python ► the bytes of [`format`]: every JSON object has a form there, also those
//! that plain BSON cannot express. Slower than the codec, and only used for values that the codec rejects.

use std::fmt::Write as _;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::encode::encode_value;
use super::options::DEFAULT;
use crate::codec::MAX_DEPTH;
use crate::codec::writer::{BsonWriter, Sink as _};
use crate::events::format;
use crate::events::validate::{MAX_LISTED, Problem};
use crate::events::view::{self, BIG_INTEGER, STRING};
use crate::python::lifecycle::once::intern;

/// The most bytes of an object: BSON's lengths have 31 bits, and a value may be in an object
/// more than once.
const MAX_BYTES: usize = 1 << 30;

/// Encodes a `dict`, or, where `name` is given, any value as the one field of a document.
/// Returns the bytes, and the values that are missing because neither JSON nor BSON can express them.
pub(crate) fn encode_leniently(value: &Bound<'_, PyAny>, name: Option<&str>) -> PyResult<(Vec<u8>, Vec<Problem>)> {
    let mut walk =
        Walk { out: BsonWriter::with_capacity(4096), problems: Vec::new(), path: Vec::new(), within: Vec::new() };
    let mark = walk.out.begin_root();
    match (name, value.cast::<PyDict>()) {
        (None, Ok(dict)) => {
            walk.within.push(dict.as_ptr() as usize);
            walk.fields(dict)?;
        }
        (name, _) => walk.value(name.unwrap_or_default().as_bytes(), value)?,
    }
    walk.out.end(mark);
    Ok((walk.out.buf, walk.problems))
}

enum Step {
    Field(String),
    Position(usize),
}

struct Walk {
    out: BsonWriter,
    problems: Vec<Problem>,
    path: Vec<Step>,
    /// The containers that the walk is in.
    within: Vec<usize>,
}

impl Walk {
    /// Records that a value cannot be stored, and writes a placeholder.
    #[cold]
    fn refuse(&mut self, name: &[u8], message: String, stand_in: &str) {
        if self.problems.len() < MAX_LISTED {
            let mut path = String::new();
            for step in self.path.iter().take(2 * MAX_LISTED) {
                match step {
                    Step::Field(name) if path.is_empty() => path.push_str(name),
                    Step::Field(name) => drop(write!(path, ".{name}")),
                    Step::Position(position) => drop(write!(path, "[{position}]")),
                }
            }
            self.problems.push(Problem { path, message });
        }
        self.text(STRING, name, stand_in.as_bytes());
    }

    fn header(&mut self, element_type: u8, name: &[u8]) {
        self.out.buf.push(element_type);
        self.out.buf.extend_from_slice(name);
        self.out.buf.push(0);
    }

    fn text(&mut self, element_type: u8, name: &[u8], text: &[u8]) {
        self.header(element_type, name);
        self.out.buf.extend_from_slice(&(text.len() as u32 + 1).to_le_bytes());
        self.out.buf.extend_from_slice(text);
        self.out.buf.push(0);
    }

    fn fields(&mut self, dict: &Bound<'_, PyDict>) -> PyResult<()> {
        // Of a copy: encoding a value may run Python code, which may change the dict.
        for (key, value) in dict.copy()?.iter() {
            let name = match key.cast::<PyString>() {
                Ok(name) => name.clone(),
                Err(_) => {
                    let class = key.get_type().name()?;
                    self.path.push(Step::Field(format!("<{class}>")));
                    let message = format!("expected a field name of type str, got {class}");
                    self.refuse(format!("<{class}>").as_bytes(), message, "***");
                    self.path.pop();
                    continue;
                }
            };
            let name = unicode(&name)?;
            self.path.push(Step::Field(crate::error::excerpt(&String::from_utf8_lossy(&name), 60)));
            self.value(&format::name(&name), &value)?;
            self.path.pop();
        }
        Ok(())
    }

    fn value(&mut self, name: &[u8], value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        if self.out.buf.len() > MAX_BYTES {
            self.refuse(name, "the object is larger than 1 GiB".to_owned(), "***");
        } else if let Ok(text) = value.cast_exact::<PyString>() {
            let text = unicode(text)?;
            self.text(STRING, name, &text);
        } else if value.is_none() {
            self.header(view::NULL, name);
        } else if let Ok(flag) = value.cast_exact::<PyBool>() {
            self.header(0x08, name);
            self.out.buf.push(u8::from(flag.is_true()));
        } else if let Ok(number) = value.cast_exact::<PyFloat>() {
            self.header(0x01, name);
            self.out.buf.extend_from_slice(&number.value().to_le_bytes());
        } else if let Ok(number) = value.cast_exact::<PyInt>() {
            self.integer(name, number)?;
        } else if value.is_instance_of::<PyDict>()
            || value.is_instance_of::<PyList>()
            || value.is_instance_of::<PyTuple>()
        {
            self.container(name, value)?;
        } else {
            // `bson`'s own types, and others that it encodes.
            match encode_value(value, &DEFAULT) {
                Ok(document) => {
                    let element_type = document.get(4).copied().unwrap_or(view::NULL);
                    self.header(element_type, name);
                    // Length, type, "v" and NUL before it; NUL after it.
                    let value = document.get(7..document.len().saturating_sub(1)).unwrap_or_default();
                    self.out.buf.extend_from_slice(value);
                }
                Err(error) if error.is_instance_of::<pyo3::exceptions::PyException>(py) => {
                    let class = value.get_type().name()?;
                    self.refuse(name, format!("expected a JSON value, got {class}"), &format!("<{class}>"));
                }
                // Such as KeyboardInterrupt.
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn integer(&mut self, name: &[u8], number: &Bound<'_, PyInt>) -> PyResult<()> {
        if let Ok(value) = number.extract::<i64>() {
            match i32::try_from(value) {
                Ok(value) => {
                    self.header(0x10, name);
                    self.out.buf.extend_from_slice(&value.to_le_bytes());
                }
                Err(_) => {
                    self.header(0x12, name);
                    self.out.buf.extend_from_slice(&value.to_le_bytes());
                }
            }
            return Ok(());
        }
        // Python refuses to write integers of more than some thousand digits, and `json` to read them.
        match number.str() {
            Ok(digits) => self.text(BIG_INTEGER, name, digits.to_str()?.as_bytes()),
            Err(_) => self.refuse(name, "an integer with too many digits".to_owned(), "<int>"),
        }
        Ok(())
    }

    fn container(&mut self, name: &[u8], value: &Bound<'_, PyAny>) -> PyResult<()> {
        let identity = value.as_ptr() as usize;
        if self.within.contains(&identity) {
            self.refuse(name, "the object contains itself".to_owned(), "<cycle>");
            return Ok(());
        }
        if self.within.len() >= MAX_DEPTH {
            self.refuse(name, format!("nested more than {MAX_DEPTH} levels deep"), "<nested too deep>");
            return Ok(());
        }
        self.within.push(identity);
        let dict = value.cast::<PyDict>();
        self.header(if dict.is_ok() { view::DOCUMENT } else { view::ARRAY }, name);
        let mark = self.out.begin_root();
        match dict {
            Ok(dict) => self.fields(dict)?,
            Err(_) => {
                for (position, item) in value.try_iter()?.enumerate() {
                    self.path.push(Step::Position(position));
                    self.value(position.to_string().as_bytes(), &item?)?;
                    self.path.pop();
                }
            }
        }
        self.out.end(mark);
        self.within.pop();
        Ok(())
    }
}

/// A text as UTF-8, lone surrogates included.
pub(crate) fn unicode<'t>(text: &'t Bound<'_, PyString>) -> PyResult<std::borrow::Cow<'t, [u8]>> {
    if let Ok(text) = text.to_str() {
        return Ok(text.as_bytes().into());
    }
    let py = text.py();
    let bytes = text.call_method1(intern!(py, "encode"), ("utf-8", "surrogatepass"))?;
    Ok(bytes.cast::<PyBytes>()?.as_bytes().to_vec().into())
}
