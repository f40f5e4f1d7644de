//! The event models as Python sees them: views over an object's bytes, of
//! which Python objects are created on demand.

use std::sync::{Arc, OnceLock};

use pyo3::exceptions::{PyAttributeError, PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyNone, PySet, PyString, PyTuple, PyType};
use speedate::{Date, DateTime, Time};

use crate::events::format;
use crate::events::moment::{self, Moment};
use crate::events::schema::{FieldKind, Model};
use crate::events::types::{EVENT_TYPES, model_for, model_of_id};
use crate::events::validate::{Problem, deviations, fits};
use crate::events::view::{self, ARRAY, BIG_INTEGER, DOCUMENT, Place, STRING};
use crate::events::{OTHER, models};
use crate::python::codec::{BsonTypes, decode_json, encode_event, encode_leniently, unicode};
use crate::python::lifecycle::once::{Once, intern};
use crate::store::{Form, PAYLOAD};

const INT32: u8 = 0x10;
const INT64: u8 = 0x12;

/// An object of Connect's, or a part of one.
#[pyclass(module = "connect.eaas.mongodb._native", subclass, frozen, name = "Model")]
pub(crate) struct EventModel {
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) start: usize,
    pub(crate) model: &'static Model,
}

/// The bytes and the position of a view, for the constructor of its class.
#[pyclass(module = "connect.eaas.mongodb._native", frozen, name = "_Part")]
pub(crate) struct Part {
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

/// A payload from Connect, as bytes of [`format`].
pub(crate) struct Payload {
    /// The document.
    pub(crate) bytes: Arc<Vec<u8>>,
    /// Whether it is an object, or another JSON value.
    pub(crate) form: Form,
    /// Whether it is known to be plain BSON that nests at most 100 levels deep.
    pub(crate) is_plain: bool,
    /// Whether it may deviate from the model.
    pub(crate) may_deviate: bool,
    /// The values that are missing in the bytes because neither JSON nor BSON can express them.
    pub(crate) refused: Vec<Problem>,
}

impl Payload {
    /// Any payload of an event with an object of this model.
    pub(crate) fn new(value: &Bound<'_, PyAny>, model: &'static Model) -> PyResult<Self> {
        if let Ok(known) = value.cast::<EventModel>() {
            let (bytes, form) = (known.get().whole(), Form::Fields);
            return Ok(Self { bytes, form, is_plain: false, may_deviate: true, refused: Vec::new() });
        }
        let dict = match value.cast::<PyDict>() {
            Ok(dict) => dict.clone(),
            Err(_) if value.is_instance(BsonTypes::mapping(value.py())?.bind(value.py()))? => {
                value.py().get_type::<PyDict>().call1((value,))?.cast_into::<PyDict>()?
            }
            Err(_) => {
                let (bytes, refused) = encode_leniently(value, Some(PAYLOAD))?;
                let (bytes, form) = (Arc::new(bytes), Form::Value);
                return Ok(Self { bytes, form, is_plain: false, may_deviate: false, refused });
            }
        };
        if let Ok((bytes, may_deviate)) = encode_event(&dict, model) {
            let id = view::field(&bytes, 0, "id").and_then(|place| view::text(&bytes, place));
            let may_deviate = may_deviate
                || model.identified
                    && id.is_none_or(|id| model_of_id(id).is_none_or(|known| !std::ptr::eq(known, model)));
            let (bytes, form) = (Arc::new(bytes), Form::Fields);
            return Ok(Self { bytes, form, is_plain: true, may_deviate, refused: Vec::new() });
        }
        // Plain BSON cannot express it, or it is deeper than MongoDB allows.
        let (bytes, refused) = encode_leniently(&dict, None)?;
        Ok(Self { bytes: Arc::new(bytes), form: Form::Fields, is_plain: false, may_deviate: true, refused })
    }

    /// The bytes of an object for its model.
    fn object(self, value: &Bound<'_, PyAny>, model: &'static Model, strict: bool) -> PyResult<Arc<Vec<u8>>> {
        let py = value.py();
        if self.form == Form::Value {
            let message = format!("expected a dict, got {}", value.get_type().name()?);
            return Err(invalid(py, model, vec![Problem { path: String::new(), message }]));
        }
        if !self.refused.is_empty() {
            return Err(invalid(py, model, self.refused));
        }
        if strict && self.may_deviate {
            let found = deviations(model, &self.bytes, 0);
            if !found.is_empty() {
                return Err(invalid(py, model, found.into_iter().map(Problem::from).collect()));
            }
        }
        Ok(self.bytes)
    }
}

/// An `EventValidationError`.
pub(crate) fn invalid(py: Python<'_>, model: &Model, problems: Vec<Problem>) -> PyErr {
    let raise = || -> PyResult<PyErr> {
        let list: Vec<(String, String)> = problems.into_iter().map(|problem| (problem.path, problem.message)).collect();
        let class =
            py.import(intern!(py, "connect.eaas.mongodb.events"))?.getattr(intern!(py, "EventValidationError"))?;
        Ok(PyErr::from_value(class.call1((model.name, PyTuple::new(py, list)?))?))
    };
    raise().unwrap_or_else(|error| error)
}

impl EventModel {
    /// The object's bytes by themselves.
    fn whole(&self) -> Arc<Vec<u8>> {
        let Place { start, end, .. } = self.document();
        if start == 0 {
            return Arc::clone(&self.bytes);
        }
        // A part of an object is an object too.
        Arc::new(self.bytes.get(start..end).unwrap_or_default().to_vec())
    }

    fn place(&self, name: &str) -> Option<Place> {
        self.place_of(name.as_bytes())
    }

    /// `name`: UTF-8, lone surrogates included.
    fn place_of(&self, name: &[u8]) -> Option<Place> {
        let name = format::name(name);
        view::elements(&self.bytes, self.start).find(|(known, _)| **known == *name).map(|(_, place)| place)
    }

    fn plain<'py>(&self, py: Python<'py>, place: Place) -> PyResult<Bound<'py, PyAny>> {
        let value = self.bytes.get(place.start..place.end).unwrap_or_default();
        Ok(decode_json(py, place.element_type, value)?.into_bound(py))
    }

    /// A value as its kind has it; as JSON has it where it is of another type.
    fn typed<'py>(&self, py: Python<'py>, kind: &FieldKind, place: Place) -> PyResult<Bound<'py, PyAny>> {
        const DOUBLE: u8 = 0x01;
        match (kind, place.element_type) {
            (FieldKind::Object(model), DOCUMENT) => view(py, &self.bytes, place.start, model),
            (FieldKind::List(kind), ARRAY) => {
                let list = PyList::empty(py);
                for (_, place) in view::elements(&self.bytes, place.start) {
                    list.append(self.typed(py, kind, place)?)?;
                }
                Ok(list.into_any())
            }
            (FieldKind::Moment | FieldKind::Date, STRING) => match view::text(&self.bytes, place) {
                Some("") => Ok(PyNone::get(py).to_owned().into_any()),
                Some(text) => match moment::parse(text) {
                    Some(moment) => moment_to_py(py, moment, matches!(kind, FieldKind::Date)),
                    None => self.plain(py, place),
                },
                None => self.plain(py, place),
            },
            (FieldKind::Quantity, STRING) if view::text(&self.bytes, place).is_some_and(is_number) => {
                decimal(py, &self.plain(py, place)?.str()?)
            }
            (FieldKind::Quantity, DOUBLE | INT32 | INT64 | BIG_INTEGER) => decimal(py, &self.plain(py, place)?.str()?),
            (FieldKind::Integer, DOUBLE) => {
                let value = self.plain(py, place)?;
                if value.extract::<f64>().is_ok_and(|number| number.fract() == 0.0) {
                    return value.call_method0(intern!(py, "__int__"));
                }
                Ok(value)
            }
            (FieldKind::Either(one, other), element_type) => {
                // The outer form determines the type.
                let kind = if fits(one, element_type) || !fits(other, element_type) { one } else { other };
                self.typed(py, kind, place)
            }
            _ => self.plain(py, place),
        }
    }

    fn place_named(&self, name: &Bound<'_, PyAny>) -> PyResult<Option<Place>> {
        Ok(match name.cast::<PyString>() {
            Ok(name) => self.place_of(&unicode(name)?),
            Err(_) => None,
        })
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
    let DateTime { date, time } = match moment {
        Moment::Date(Date { year, month, day }) if date_alone => {
            return DATE.import(py, "datetime", "date")?.call1((year, month, day));
        }
        Moment::Date(date) => {
            DateTime { date, time: Time { hour: 0, minute: 0, second: 0, microsecond: 0, tz_offset: None } }
        }
        Moment::DateTime(date_time) => date_time,
    };
    let timezone = TIMEZONE.import(py, "datetime", "timezone")?;
    let zone = match time.tz_offset.unwrap_or(0) {
        0 => UTC.get(py, || Ok(timezone.getattr("utc")?.unbind()))?.bind(py).clone(),
        seconds => timezone.call1((TIMEDELTA.import(py, "datetime", "timedelta")?.call1((0, seconds))?,))?,
    };
    let arguments = (date.year, date.month, date.day, time.hour, time.minute, time.second, time.microsecond, zone);
    DATETIME.import(py, "datetime", "datetime")?.call1(arguments)
}

#[pymethods]
impl EventModel {
    #[new]
    #[classmethod]
    #[pyo3(signature = (data, *, strict = false))]
    fn new(cls: &Bound<'_, PyType>, data: &Bound<'_, PyAny>, strict: bool) -> PyResult<Self> {
        if let Ok(part) = data.cast::<Part>() {
            let part = part.get();
            return Ok(Self { bytes: Arc::clone(&part.bytes), start: part.start, model: part.model });
        }
        let model = model_of_class(cls)?;
        let bytes = Payload::new(data, model)?.object(data, model, strict)?;
        Ok(Self { bytes, start: 0, model })
    }

    /// Create an instance from an object that matches the model; raises
    /// `EventValidationError` otherwise.
    #[classmethod]
    fn validate<'py>(cls: &Bound<'py, PyType>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let strict = PyDict::new(cls.py());
        strict.set_item(intern!(cls.py(), "strict"), true)?;
        cls.call((data,), Some(&strict))
    }

    /// The deviations of the object from its model.
    #[getter]
    fn deviations<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let class = py.import(intern!(py, "connect.eaas.mongodb.events"))?.getattr(intern!(py, "Deviation"))?;
        let found = deviations(self.model, &self.bytes, self.start);
        let made: PyResult<Vec<_>> =
            found.into_iter().map(|one| class.call1((one.path, one.expected, one.actual))).collect();
        PyTuple::new(py, made?)
    }

    /// The object as a `dict`, equal to the one it was created from, in the same order.
    fn to_dict(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.plain(py, self.document())?.unbind())
    }

    fn __getattr__(&self, py: Python<'_>, name: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
        let Ok(name) = name.to_str() else {
            return match self.place_of(&unicode(name)?) {
                Some(place) => Ok(self.plain(py, place)?.unbind()),
                None => Err(PyAttributeError::new_err(format!("{} has no such field", self.model.name))),
            };
        };
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
        // `from_` for a name that is a keyword.
        if let Some(value) = name.strip_suffix('_').map(get).transpose()?.flatten() {
            return Ok(value);
        }
        Err(PyAttributeError::new_err(format!("{} has no field '{name}'", self.model.name)))
    }

    fn __getitem__(&self, py: Python<'_>, name: Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        match self.place_named(&name)? {
            Some(place) => Ok(self.plain(py, place)?.unbind()),
            None => Err(PyKeyError::new_err(name.unbind())),
        }
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.place_named(name)?.is_some())
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.plain(py, self.document())?.call_method0(intern!(py, "__iter__"))
    }

    fn __dir__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let names = py.import("builtins")?.getattr("object")?.call_method1("__dir__", (slf,))?;
        let this = slf.get();
        let fields = PyList::new(py, this.model.fields.iter().map(|field| field.name))?;
        let own = this.plain(py, this.document())?.call_method0("keys")?;
        let all = PySet::empty(py)?;
        all.call_method1("update", (names, fields, own))?;
        let list = PyList::empty(py);
        for name in all {
            list.append(name)?;
        }
        Ok(list)
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
        // Only identifying fields: a parameter's value or a customer's name must not be logged.
        let mut shown = Vec::new();
        for name in ["id", "type", "status", "state"] {
            if let Some(place) = self.place(name).filter(|place| matches!(place.element_type, STRING | INT32 | INT64)) {
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
pub(crate) fn model_of(event_type: &Bound<'_, PyAny>, object: &Bound<'_, PyAny>) -> PyResult<&'static Model> {
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
    if let Ok(known) = object.cast::<EventModel>() {
        return Ok(known.get().model);
    }
    let id = match object.cast::<PyDict>() {
        Ok(dict) => dict.get_item(intern!(py, "id"))?,
        Err(_) => None,
    };
    let id = id.as_ref().and_then(|id| id.cast::<PyString>().ok()?.to_str().ok());
    Ok(model_for(name, id).unwrap_or(&OTHER))
}

/// The object of an event, as an instance of its class.
#[pyfunction]
#[pyo3(signature = (event_type, obj, *, strict = false))]
pub(crate) fn parse_event<'py>(
    event_type: &Bound<'py, PyAny>,
    obj: &Bound<'py, PyAny>,
    strict: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let model = model_of(event_type, obj)?;
    let bytes = Payload::new(obj, model)?.object(obj, model, strict)?;
    view(obj.py(), &bytes, 0, model)
}

/// All models: of each its name, what it is, and its fields, each with its
/// name, its type in Python and what it means.
#[pyfunction]
pub(crate) fn event_models(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for model in all() {
        let fields: Vec<(&str, String, &str)> =
            model.fields.iter().map(|field| (field.name, annotation(&field.kind), field.doc)).collect();
        list.append((model.name, model.doc.trim(), model.prefix, fields))?;
    }
    Ok(list)
}

fn annotation(kind: &FieldKind) -> String {
    match kind {
        FieldKind::Text => "str".into(),
        FieldKind::Moment => "datetime".into(),
        FieldKind::Date => "date".into(),
        FieldKind::Integer => "int".into(),
        FieldKind::Number => "float".into(),
        FieldKind::Quantity => "Decimal | str".into(),
        FieldKind::Level => "int | str".into(),
        FieldKind::Boolean => "bool".into(),
        FieldKind::Any => "Any".into(),
        FieldKind::Mapping => "dict[str, Any]".into(),
        FieldKind::Object(model) => model.name.into(),
        FieldKind::List(kind) => format!("list[{}]", annotation(kind)),
        FieldKind::Either(one, other) => format!("{} | {}", annotation(one), annotation(other)),
    }
}

/// The types of events that are known: of each its name, its category, the
/// class of its object, and the object's statuses.
#[pyfunction]
pub(crate) fn event_types(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for known in EVENT_TYPES {
        let statuses = PyTuple::new(py, known.statuses)?;
        list.append((known.name, known.category.name(), known.model.name, statuses))?;
    }
    Ok(list)
}
