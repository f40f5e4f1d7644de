//! The event models as Python sees them: views over an object's bytes, of
//! which a Python object is made when it is asked for.

use std::sync::{Arc, OnceLock};

use bson::RawDocument;
use pyo3::exceptions::{PyAttributeError, PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyNone, PyString, PyTuple, PyType};

use super::codec::{decode_json, encode_event};
use super::once::{Once, intern};
use crate::codec::MAX_DOCUMENT_SIZE;
use crate::events::moment::{self, Moment};
use crate::events::schema::{Kind, Model};
use crate::events::types::{EVENT_TYPES, model_for, model_of_id};
use crate::events::validate::{Problem, problems};
use crate::events::view::{self, ARRAY, DOCUMENT, Place, STRING};
use crate::events::{OTHER, models};

/// An object of Connect's, or a part of one.
#[pyclass(module = "connect.eaas.mongodb._native", subclass, frozen, name = "Model")]
pub struct EventModel {
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) start: usize,
    pub(super) model: &'static Model,
}

/// What a view is made of, handed to the class of its model.
#[pyclass(module = "connect.eaas.mongodb._native", frozen, name = "_Part")]
pub(super) struct Part {
    bytes: Arc<Vec<u8>>,
    start: usize,
    model: &'static Model,
}

/// All models, in the order of their classes.
fn all() -> &'static [&'static Model] {
    static ALL: OnceLock<Vec<&'static Model>> = OnceLock::new();
    ALL.get_or_init(models)
}

/// The classes, in the order of their models.
fn classes(py: Python<'_>) -> PyResult<&'static [Py<PyType>]> {
    static CLASSES: Once<Vec<Py<PyType>>> = Once::new();
    let classes = CLASSES.get(py, || {
        let module = py.import(intern!(py, "connect.eaas.mongodb.events"))?;
        let class = |model: &&'static Model| Ok(module.getattr(model.name)?.cast_into::<PyType>()?.unbind());
        all().iter().map(class).collect::<PyResult<Vec<_>>>()
    })?;
    Ok(classes)
}

/// The class of a model.
fn class_of<'py>(py: Python<'py>, model: &'static Model) -> PyResult<Bound<'py, PyType>> {
    let place = all().iter().position(|known| std::ptr::eq(*known, model)).unwrap_or(0);
    Ok(classes(py)?[place].bind(py).clone())
}

/// The model of a class, or of what it derives from.
fn model_of_class(class: &Bound<'_, PyType>) -> PyResult<&'static Model> {
    let py = class.py();
    let mut known = classes(py)?.iter().zip(all());
    if let Some((_, model)) = known.find(|(known, _)| known.is(class)) {
        return Ok(model);
    }
    let name = class.getattr(intern!(py, "_model"))?;
    let name = name.extract::<&str>()?;
    let model = all().iter().find(|model| model.name == name);
    model.copied().ok_or_else(|| PyTypeError::new_err("the class of no model"))
}

/// A view as Python has it.
fn view<'py>(
    py: Python<'py>,
    bytes: &Arc<Vec<u8>>,
    start: usize,
    model: &'static Model,
) -> PyResult<Bound<'py, PyAny>> {
    let part = Bound::new(py, Part { bytes: Arc::clone(bytes), start, model })?;
    class_of(py, model)?.call1((part,))
}

/// An object's bytes, once they are what the model says.
pub fn parsed(object: &Bound<'_, PyAny>, model: &'static Model, of_id: bool) -> PyResult<Arc<Vec<u8>>> {
    let py = object.py();
    if let Ok(known) = object.cast::<EventModel>() {
        let known = known.get();
        if std::ptr::eq(known.model, model) && known.start == 0 {
            return Ok(Arc::clone(&known.bytes));
        }
        if std::ptr::eq(known.model, model) {
            // A part of an object is one by itself too.
            return parsed(&known.plain(py, known.document())?, model, of_id);
        }
        let message = format!("expected {}, got {}", model.name, known.model.name);
        return Err(invalid(py, model, vec![Problem { path: String::new(), message }]));
    }
    let Ok(dict) = object.cast::<PyDict>() else {
        let message = format!("expected a dict, got {}", object.get_type().name()?);
        return Err(invalid(py, model, vec![Problem { path: String::new(), message }]));
    };
    let (bytes, doubtful, mut found) = match encode_event(dict, model) {
        Ok((bytes, doubtful)) => (bytes, doubtful, Vec::new()),
        // Which values these are, and what else is wrong.
        Err(error) => {
            let mut found = Vec::new();
            let rest = without_foreign(dict.as_any(), &mut String::new(), 0, &mut found)?;
            match (found.is_empty(), rest.cast::<PyDict>().map(|rest| encode_event(rest, model))) {
                (false, Ok(Ok((bytes, _)))) => (bytes, true, found),
                (false, _) => return Err(invalid(py, model, found)),
                (true, _) => return Err(error),
            }
        }
    };
    if bytes.len() > MAX_DOCUMENT_SIZE {
        let message = format!("is larger than MongoDB's limit: {} bytes as BSON, of {MAX_DOCUMENT_SIZE}", bytes.len());
        found.push(Problem { path: String::new(), message });
        return Err(invalid(py, model, found));
    }
    let id = view::field(&bytes, 0, "id").and_then(|place| view::text(&bytes, place)).unwrap_or_default();
    let other = model_of_id(id).filter(|other| of_id && model.identified && other.name != model.name);
    if !doubtful && other.is_none() && (!id.is_empty() || !model.identified) {
        return Ok(Arc::new(bytes));
    }
    match RawDocument::from_bytes(bytes.as_slice()) {
        Ok(document) => {
            // What was taken out is named already.
            let more = problems(model, document);
            let more = more.into_iter().filter(|problem| !found.iter().any(|known| known.path == problem.path));
            let more: Vec<Problem> = more.collect();
            found.extend(more);
            if let Some(other) = other {
                let message = format!("is the id of {}, where {} is expected", other.name, model.name);
                found.push(Problem { path: "id".to_owned(), message });
            }
        }
        Err(_) => found.push(Problem { path: String::new(), message: "cannot be read".to_owned() }),
    }
    if found.is_empty() { Ok(Arc::new(bytes)) } else { Err(invalid(py, model, found)) }
}

/// The same with `None` for what JSON does not have.
pub fn without_what_json_lacks<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    without_foreign(value, &mut String::new(), 0, &mut Vec::new())
}

/// The same without what JSON does not have, which is listed.
fn without_foreign<'py>(
    value: &Bound<'py, PyAny>,
    path: &mut String,
    depth: usize,
    found: &mut Vec<Problem>,
) -> PyResult<Bound<'py, PyAny>> {
    const DEEPEST: usize = 100;
    const MOST: usize = 50;
    let py = value.py();
    let none = || PyNone::get(py).to_owned().into_any();
    if found.len() >= MOST {
        return Ok(none());
    }
    let mut add = |path: &str, message: String| found.push(Problem { path: path.to_owned(), message });
    if value.is_none() || value.cast::<PyBool>().is_ok() || value.cast_exact::<PyFloat>().is_ok() {
        return Ok(value.clone());
    }
    if let Ok(text) = value.cast_exact::<PyString>() {
        if text.to_str().is_ok() {
            return Ok(value.clone());
        }
        add(path, "expected valid Unicode, got a str with a lone surrogate".to_owned());
        return Ok(none());
    }
    if value.cast_exact::<PyInt>().is_ok() {
        if value.extract::<i64>().is_ok() {
            return Ok(value.clone());
        }
        add(path, "expected a whole number of at most 64 bits, got a larger one".to_owned());
        return Ok(none());
    }
    if depth > DEEPEST {
        add(path, "nested too deep".to_owned());
        return Ok(none());
    }
    let length = path.len();
    if let Ok(list) = value.cast::<PyList>() {
        let kept = PyList::empty(py);
        for (place, item) in list.iter().enumerate() {
            path.push_str(&format!("[{place}]"));
            kept.append(without_foreign(&item, path, depth + 1, found)?)?;
            path.truncate(length);
        }
        return Ok(kept.into_any());
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        let kept = PyDict::new(py);
        for (key, item) in dict.iter() {
            let name = key.cast::<PyString>().ok().and_then(|name| name.to_str().ok().map(str::to_owned));
            match name.filter(|name| !name.contains('\0')) {
                Some(name) => {
                    if length > 0 {
                        path.push('.');
                    }
                    path.push_str(&crate::error::excerpt(&name, 60));
                    kept.set_item(&key, without_foreign(&item, path, depth + 1, found)?)?;
                    path.truncate(length);
                }
                None => {
                    let class = key.get_type();
                    let message = format!("expected names of type str without NUL, got one of type {}", class.name()?);
                    found.push(Problem { path: path.clone(), message });
                }
            }
        }
        return Ok(kept.into_any());
    }
    add(path, format!("expected a value of JSON, got {}", value.get_type().name()?));
    Ok(none())
}

/// An `EventValidationError`.
pub fn invalid(py: Python<'_>, model: &Model, problems: Vec<Problem>) -> PyErr {
    let raise = || -> PyResult<PyErr> {
        let list: Vec<(String, String)> = problems.into_iter().map(|problem| (problem.path, problem.message)).collect();
        let class =
            py.import(intern!(py, "connect.eaas.mongodb.events"))?.getattr(intern!(py, "EventValidationError"))?;
        Ok(PyErr::from_value(class.call1((model.name, PyTuple::new(py, list)?))?))
    };
    raise().unwrap_or_else(|error| error)
}

impl EventModel {
    fn place(&self, name: &str) -> Option<Place> {
        view::field(&self.bytes, self.start, name)
    }

    fn plain<'py>(&self, py: Python<'py>, place: Place) -> PyResult<Bound<'py, PyAny>> {
        let value = self.bytes.get(place.start..place.end).unwrap_or_default();
        Ok(decode_json(py, place.element_type, value)?.into_bound(py))
    }

    fn typed<'py>(&self, py: Python<'py>, kind: &Kind, place: Place) -> PyResult<Bound<'py, PyAny>> {
        match (kind, place.element_type) {
            (Kind::Object(model), DOCUMENT) => view(py, &self.bytes, place.start, model),
            (Kind::List(kind), ARRAY) => {
                let list = PyList::empty(py);
                for (_, place) in view::elements(&self.bytes, place.start) {
                    list.append(self.typed(py, kind, place)?)?;
                }
                Ok(list.into_any())
            }
            (Kind::Moment | Kind::Date, STRING) => match view::text(&self.bytes, place).and_then(moment::parse) {
                Some(moment) => moment_to_py(py, moment, matches!(kind, Kind::Date)),
                None => Ok(PyNone::get(py).to_owned().into_any()),
            },
            (Kind::Quantity, element_type) => {
                let value = self.plain(py, place)?;
                match element_type {
                    STRING if !value.extract::<&str>().is_ok_and(is_number) => Ok(value),
                    0x0a => Ok(value),
                    _ => decimal(py, &value.str()?),
                }
            }
            (Kind::Integer, 0x01) => self.plain(py, place)?.call_method0(intern!(py, "__int__")),
            (Kind::Either(one, other), element_type) => {
                // The outer form tells which it is.
                let is = |kind: &Kind| {
                    matches!(
                        (kind, element_type),
                        (Kind::Object(_) | Kind::Mapping, DOCUMENT)
                            | (Kind::List(_), ARRAY)
                            | (Kind::Text, STRING)
                            | (Kind::Any, _)
                    )
                };
                self.typed(py, if is(one) || !is(other) { one } else { other }, place)
            }
            _ => self.plain(py, place),
        }
    }

    fn document(&self) -> Place {
        let length = self.bytes.get(self.start..self.start + 4).and_then(|bytes| bytes.try_into().ok());
        let end = self.start + length.map_or(0, u32::from_le_bytes) as usize;
        Place { element_type: DOCUMENT, start: self.start, end }
    }
}

/// Whether it is a decimal number and nothing else.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    all(whole) && all(fraction)
}

fn decimal<'py>(py: Python<'py>, text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
    static DECIMAL: Once<Py<PyAny>> = Once::new();
    DECIMAL.import(py, "decimal", "Decimal")?.call1((text,))
}

fn moment_to_py<'py>(py: Python<'py>, moment: Moment, date_alone: bool) -> PyResult<Bound<'py, PyAny>> {
    static DATETIME: Once<Py<PyAny>> = Once::new();
    static DATE: Once<Py<PyAny>> = Once::new();
    static TIMEZONE: Once<Py<PyAny>> = Once::new();
    static TIMEDELTA: Once<Py<PyAny>> = Once::new();
    static UTC: Once<Py<PyAny>> = Once::new();
    let Moment { year, month, day, time } = moment;
    if date_alone && time.is_none() {
        return DATE.import(py, "datetime", "date")?.call1((year, month, day));
    }
    let timezone = TIMEZONE.import(py, "datetime", "timezone")?;
    let offset = time.and_then(|time| time.offset).unwrap_or(0);
    let zone = if offset == 0 {
        UTC.get(py, || Ok(timezone.getattr("utc")?.unbind()))?.bind(py).clone()
    } else {
        timezone.call1((TIMEDELTA.import(py, "datetime", "timedelta")?.call1((0, offset * 60))?,))?
    };
    let (hour, minute, second, micros) =
        time.map_or((0, 0, 0, 0), |time| (time.hour, time.minute, time.second, time.microsecond));
    DATETIME.import(py, "datetime", "datetime")?.call1((year, month, day, hour, minute, second, micros, zone))
}

#[pymethods]
impl EventModel {
    #[new]
    #[classmethod]
    fn new(cls: &Bound<'_, PyType>, data: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(part) = data.cast::<Part>() {
            let part = part.get();
            return Ok(Self { bytes: Arc::clone(&part.bytes), start: part.start, model: part.model });
        }
        let model = model_of_class(cls)?;
        if let Ok(known) = data.cast::<Self>()
            && std::ptr::eq(known.get().model, model)
        {
            let known = known.get();
            return Ok(Self { bytes: Arc::clone(&known.bytes), start: known.start, model });
        }
        Ok(Self { bytes: parsed(data, model, false)?, start: 0, model })
    }

    /// The object as a `dict`: equal to what it was made from, in the same order.
    fn to_dict(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.plain(py, self.document())?.unbind())
    }

    fn __getattr__(&self, py: Python<'_>, name: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
        let name = name.to_str()?;
        let get = |name: &str| -> PyResult<Option<Py<PyAny>>> {
            let known = self.model.field(name, 0);
            match (self.place(name), known) {
                (Some(place), Some((_, field))) => Ok(Some(self.typed(py, &field.kind, place)?.unbind())),
                (Some(place), None) => Ok(Some(self.plain(py, place)?.unbind())),
                (None, Some(_)) => Ok(Some(py.None())),
                (None, None) => Ok(None),
            }
        };
        if let Some(value) = get(name)? {
            return Ok(value);
        }
        // `from_` for what is a keyword.
        if let Some(value) = name.strip_suffix('_').map(get).transpose()?.flatten() {
            return Ok(value);
        }
        Err(PyAttributeError::new_err(format!("{} has no field '{name}'", self.model.name)))
    }

    fn __getitem__(&self, py: Python<'_>, name: Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        match name.extract::<&str>().ok().and_then(|name| self.place(name)) {
            Some(place) => Ok(self.plain(py, place)?.unbind()),
            None => Err(PyKeyError::new_err(name.unbind())),
        }
    }

    /// An instance of an object that was stored: what was redacted in it may
    /// not be what the model says.
    #[classmethod]
    fn _of_stored<'py>(cls: &Bound<'py, PyType>, document: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        let model = model_of_class(cls)?;
        let Ok((bytes, _)) = encode_event(document, model) else { return cls.call1((document,)) };
        view(cls.py(), &Arc::new(bytes), 0, model)
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> bool {
        name.extract::<&str>().is_ok_and(|name| self.place(name).is_some())
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let names = view::elements(&self.bytes, self.start).map(|(name, _)| String::from_utf8_lossy(name).into_owned());
        PyList::new(py, names.collect::<Vec<_>>())?.call_method0("__iter__")
    }

    fn __dir__(slf: &Bound<'_, Self>) -> PyResult<Vec<String>> {
        let py = slf.py();
        let mut names: Vec<String> =
            py.import("builtins")?.getattr("object")?.call_method1("__dir__", (slf,))?.extract::<Vec<String>>()?;
        let this = slf.get();
        names.extend(this.model.fields.iter().map(|field| field.name.to_owned()));
        names.extend(
            view::elements(&this.bytes, this.start).map(|(name, _)| String::from_utf8_lossy(name).into_owned()),
        );
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Ok(other) = other.cast::<Self>() else { return Ok(false) };
        let other = other.get();
        if !std::ptr::eq(self.model, other.model) {
            return Ok(false);
        }
        let (ours, theirs) = (self.document(), other.document());
        if self.bytes.get(ours.start..ours.end) == other.bytes.get(theirs.start..theirs.end) {
            return Ok(true);
        }
        // As dicts compare: in any order.
        self.plain(py, ours)?.eq(other.plain(py, theirs)?)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        // What tells objects apart; a parameter's value, or a customer's name, is not for a log.
        let mut shown = Vec::new();
        for name in ["id", "type", "status", "state"] {
            if let Some(place) = self.place(name).filter(|place| place.element_type == STRING) {
                shown.push(format!("{name}={}", self.plain(py, place)?.repr()?));
            }
        }
        Ok(format!("{}({})", self.model.name, shown.join(", ")))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyType>, (Py<PyAny>,))> {
        Ok((slf.get_type(), (slf.get().to_dict(slf.py())?,)))
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, memo: &Bound<'_, PyAny>) -> Py<Self> {
        let _nothing_can_change = memo;
        slf
    }
}

/// The model for the object of an event.
pub fn model_of(event_type: &Bound<'_, PyAny>, object: &Bound<'_, PyAny>) -> PyResult<&'static Model> {
    let py = event_type.py();
    let Ok(name) = event_type.cast::<PyString>() else {
        let message = format!("the event type must be a str, not {}", event_type.get_type().name()?);
        return Err(invalid(py, &OTHER, vec![Problem { path: "event_type".to_owned(), message }]));
    };
    let name = name.to_str().unwrap_or_default();
    if name.is_empty() {
        let message = "the event type must be a text that is not empty".to_owned();
        return Err(invalid(py, &OTHER, vec![Problem { path: "event_type".to_owned(), message }]));
    }
    let id = match object.cast::<PyDict>() {
        Ok(dict) => dict.get_item(intern!(py, "id"))?.and_then(|id| id.extract::<String>().ok()),
        Err(_) => None,
    };
    if let Ok(known) = object.cast::<EventModel>() {
        return Ok(model_for(name, None).unwrap_or(known.get().model));
    }
    Ok(model_for(name, id.as_deref()).unwrap_or(&OTHER))
}

/// The object of an event, as an instance of its class.
#[pyfunction]
#[pyo3(signature = (event_type, obj))]
pub fn parse_event<'py>(event_type: &Bound<'py, PyAny>, obj: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let model = model_of(event_type, obj)?;
    let bytes = parsed(obj, model, true)?;
    view(obj.py(), &bytes, 0, model)
}

/// All models: of each its name, what it is, and its fields, each with its
/// name, its type in Python and what it means.
#[pyfunction]
pub fn event_models(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for model in all() {
        let fields: Vec<(&str, String, &str)> =
            model.fields.iter().map(|field| (field.name, annotation(&field.kind), field.doc)).collect();
        list.append((model.name, model.doc.trim(), model.prefix, fields))?;
    }
    Ok(list)
}

fn annotation(kind: &Kind) -> String {
    match kind {
        Kind::Text => "str".into(),
        Kind::Moment => "datetime".into(),
        Kind::Date => "date".into(),
        Kind::Integer => "int".into(),
        Kind::Number => "float".into(),
        Kind::Quantity => "Decimal | str".into(),
        Kind::Level => "int | str".into(),
        Kind::Boolean => "bool".into(),
        Kind::Any => "Any".into(),
        Kind::Mapping => "dict[str, Any]".into(),
        Kind::Object(model) => model.name.into(),
        Kind::List(kind) => format!("list[{}]", annotation(kind)),
        Kind::Either(one, other) => format!("{} | {}", annotation(one), annotation(other)),
    }
}

/// The types of events that are known: of each its name, its category, the
/// class of its object, and the object's statuses.
#[pyfunction]
pub fn event_types(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for known in EVENT_TYPES {
        let statuses = PyTuple::new(py, known.statuses)?;
        list.append((known.name, known.category.name(), known.model.name, statuses))?;
    }
    Ok(list)
}
