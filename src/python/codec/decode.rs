//! Bytes ► Python.
//!
//! The common types are built here. `bson` decodes the others, value by
//! value; and so is a whole document that has anything wrong with it, so that
//! the error is PyMongo's own.

use std::sync::{Mutex, PoisonError};

use memchr::memchr;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyList, PyString};

use super::options::{self, Codec, decode_by_bson};
use super::types::{BsonTypes, Moment};
use crate::codec::MAX_DEPTH;
use crate::events::format;
use crate::events::view::{BIG_INTEGER, name_at, prefix};

/// Decodes a document as `bson.decode` does by default.
pub(crate) fn decode_document(py: Python<'_>, bytes: &[u8]) -> PyResult<Py<PyAny>> {
    decode(py, bytes, &options::DEFAULT)
}

/// Decodes a document as `bson.decode` does, with options that this decoder supports itself.
pub(crate) fn decode(py: Python<'_>, bytes: &[u8], codec: &Codec) -> PyResult<Py<PyAny>> {
    let types = BsonTypes::get(py)?;
    let mut walk = Walk { py, types, bytes, position: 0, json: false, names: Names::take(), codec };
    let decoded = walk.root();
    walk.names.give_back();
    if let Ok(document) = decoded {
        return Ok(document.into_any().unbind());
    }
    decode_by_bson(py, bytes, codec.given())
}

/// Decodes a value of [`format`], as `json` has it: every integer an `int`.
pub(crate) fn decode_json(py: Python<'_>, element_type: u8, bytes: &[u8]) -> PyResult<Py<PyAny>> {
    let types = BsonTypes::get(py)?;
    let mut walk = Walk { py, types, bytes, position: 0, json: true, names: Names::take(), codec: &options::DEFAULT };
    let decoded = walk.value(element_type, 0);
    walk.names.give_back();
    decoded.map(Bound::unbind).map_err(|_| PyValueError::new_err("the object cannot be decoded"))
}

/// The name of a DBRef's first field.
const REF: u64 = prefix(b"$ref");

/// A value that `bson` must decode.
struct Leave;

impl From<PyErr> for Leave {
    fn from(_: PyErr) -> Self {
        Self
    }
}

type Walked<T> = Result<T, Leave>;

struct Walk<'b, 'py> {
    py: Python<'py>,
    types: &'static BsonTypes,
    bytes: &'b [u8],
    position: usize,
    /// Whether the document is JSON: it decodes to no type of `bson`.
    json: bool,
    names: Names,
    codec: &'b Codec,
}

/// The names that were decoded last: documents of a kind have the same, and a
/// cached name need not be created, nor hashed by the dict. Texts repeat too: types
/// and statuses, labels and paths, and the same moment in two fields.
struct Names {
    names: Vec<Name>,
    texts: Vec<Text>,
}

/// A recent name.
#[derive(Default)]
struct Name {
    /// Its beginning, as [`prefix`] has it, and its last eight bytes.
    ends: (u64, u64),
    bytes: Box<[u8]>,
    made: Option<Py<PyString>>,
}

/// A recent text, and its `str` if it occurred more than once.
#[derive(Default)]
struct Text {
    hash: u32,
    made: Option<(Box<[u8]>, Py<PyString>)>,
}

const NAMES: usize = 1024;
const LONGEST_NAME: usize = 40;
const LONGEST_TEXT: usize = 80;

// Taken out while it is used: decoding may run Python code, which may decode.
static NAMES_KEPT: Mutex<Option<Names>> = Mutex::new(None);

impl Names {
    fn take() -> Self {
        let kept = NAMES_KEPT.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.unwrap_or_else(|| Self {
            names: (0..NAMES).map(|_| Name::default()).collect(),
            texts: (0..NAMES).map(|_| Text::default()).collect(),
        })
    }

    fn give_back(&mut self) {
        let names = Self { names: std::mem::take(&mut self.names), texts: std::mem::take(&mut self.texts) };
        let replaced = NAMES_KEPT.lock().unwrap_or_else(PoisonError::into_inner).replace(names);
        drop(replaced);
    }

    /// A name that begins so.
    #[inline]
    fn get<'py>(&mut self, py: Python<'py>, beginning: u64, name: &[u8]) -> Walked<Bound<'py, PyString>> {
        let ends = (beginning, name.last_chunk().copied().map_or(0, u64::from_le_bytes));
        let hash = mix(mix(name.len() as u64, ends.0), ends.1);
        let Some(slot) = self.names.get_mut(place(hash)) else { return text(py, name) };
        if let Some(made) = &slot.made
            && slot.ends == ends
            && slot.bytes.len() == name.len()
            // Up to 16 bytes, the ends are the whole.
            && (name.len() <= 16 || *slot.bytes == *name)
        {
            return Ok(made.bind(py).clone());
        }
        let made = text(py, name)?;
        if name.len() <= LONGEST_NAME {
            *slot = Name { ends, bytes: name.into(), made: Some(made.clone().unbind()) };
        }
        Ok(made)
    }

    /// A text that is a value. It is not cached at its first occurrence:
    /// most texts do not repeat.
    #[inline]
    fn text<'py>(&mut self, py: Python<'py>, value: &[u8]) -> Walked<Bound<'py, PyString>> {
        // Python itself caches shorter texts.
        if value.len() < 2 || value.len() > LONGEST_TEXT {
            return text(py, value);
        }
        let hash = hash(value);
        let Some(slot) = self.texts.get_mut(place(hash)) else { return text(py, value) };
        let hash = (hash >> 32) as u32;
        if slot.hash != hash {
            *slot = Text { hash, made: None };
            return text(py, value);
        }
        match &slot.made {
            Some((known, made)) if **known == *value => Ok(made.bind(py).clone()),
            _ => {
                let made = text(py, value)?;
                slot.made = Some((value.into(), made.clone().unbind()));
                Ok(made)
            }
        }
    }
}

/// A hash for a small cache: eight bytes at a time, as in FxHash.
fn hash(bytes: &[u8]) -> u64 {
    let length = bytes.len() as u64;
    let Some(last) = bytes.last_chunk().copied().map(u64::from_le_bytes) else {
        return mix(length, bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    };
    let (words, _) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(length, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    mix(hash, last)
}

fn mix(hash: u64, word: u64) -> u64 {
    const FACTOR: u64 = 0x517c_c1b7_2722_0a95;
    (hash.rotate_left(5) ^ word).wrapping_mul(FACTOR)
}

/// The slot of a hash. The upper bits of a product depend on all bits of its factors.
fn place(hash: u64) -> usize {
    (hash >> 54) as usize % NAMES
}

/// A `str` of UTF-8; Python itself checks that it is.
fn text<'py>(py: Python<'py>, bytes: &[u8]) -> Walked<Bound<'py, PyString>> {
    PyString::from_bytes(py, bytes).map_err(|_| Leave)
}

/// A `str` with lone surrogates, which UTF-8 does not allow, as `json` decodes them.
#[cold]
fn extended_text<'py>(py: Python<'py>, bytes: &[u8]) -> Walked<Bound<'py, PyString>> {
    let text = PyBytes::new(py, bytes).call_method1("decode", ("utf-8", "surrogatepass"))?;
    text.cast_into::<PyString>().map_err(|_| Leave)
}

impl<'b, 'py> Walk<'b, 'py> {
    fn root(&mut self) -> Walked<Bound<'py, PyDict>> {
        let document = self.document(0)?;
        if self.position == self.bytes.len() { Ok(document.0) } else { Err(Leave) }
    }

    fn take(&mut self, count: usize) -> Walked<&'b [u8]> {
        let end = self.position.checked_add(count).ok_or(Leave)?;
        let taken = self.bytes.get(self.position..end).ok_or(Leave)?;
        self.position = end;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Walked<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| Leave)
    }

    fn length(&mut self) -> Walked<usize> {
        usize::try_from(i32::from_le_bytes(self.fixed()?)).map_err(|_| Leave)
    }

    /// A name, after its beginning.
    #[inline]
    fn name(&mut self) -> Walked<(u64, &'b [u8])> {
        let start = self.position;
        let (beginning, length) = name_at(self.bytes, start).ok_or(Leave)?;
        self.position = start + length + 1;
        Ok((beginning, self.bytes.get(start..start + length).ok_or(Leave)?))
    }

    fn cstring(&mut self) -> Walked<&'b [u8]> {
        let rest = self.bytes.get(self.position..).ok_or(Leave)?;
        let end = memchr(0, rest).ok_or(Leave)?;
        self.position += end + 1;
        Ok(&rest[..end])
    }

    fn text(&mut self) -> Walked<&'b [u8]> {
        let length = self.length()?;
        match self.take(length)? {
            [text @ .., 0] => Ok(text),
            _ => Err(Leave),
        }
    }

    /// Where the document that begins here ends, after checking that it can.
    fn end_of_document(&mut self) -> Walked<usize> {
        let start = self.position;
        let length = self.length()?;
        let end = start.checked_add(length).filter(|_| length >= 5).ok_or(Leave)?;
        (self.bytes.get(end - 1) == Some(&0)).then_some(end).ok_or(Leave)
    }

    /// A name that is not UTF-8. Only the wider format for JSON has one.
    #[cold]
    fn extended_name(&self, name: &[u8], leave: Leave) -> Walked<Bound<'py, PyString>> {
        if self.json { extended_text(self.py, &format::original_name(name)) } else { Err(leave) }
    }

    /// A document, and whether it has the field `$ref`, as a DBRef has.
    fn document(&mut self, depth: usize) -> Walked<(Bound<'py, PyDict>, bool)> {
        let depth = deeper(depth)?;
        let end = self.end_of_document()?;
        let dict = PyDict::new(self.py);
        let mut has_ref = false;
        while self.position < end - 1 {
            let [element_type] = self.fixed()?;
            let (beginning, name) = self.name()?;
            has_ref |= beginning == REF;
            let name = match self.names.get(self.py, beginning, name) {
                Ok(name) => name,
                Err(leave) => self.extended_name(name, leave)?,
            };
            let value = self.value(element_type, depth)?;
            dict.set_item(name, value)?;
        }
        self.close(end)?;
        Ok((dict, has_ref))
    }

    fn array(&mut self, depth: usize) -> Walked<Bound<'py, PyList>> {
        let depth = deeper(depth)?;
        let end = self.end_of_document()?;
        let list = PyList::empty(self.py);
        while self.position < end - 1 {
            let [element_type] = self.fixed()?;
            self.name()?;
            list.append(self.value(element_type, depth)?)?;
        }
        self.close(end)?;
        Ok(list)
    }

    fn close(&mut self, end: usize) -> Walked<()> {
        if self.position != end - 1 {
            return Err(Leave);
        }
        self.position = end;
        Ok(())
    }

    fn value(&mut self, element_type: u8, depth: usize) -> Walked<Bound<'py, PyAny>> {
        let py = self.py;
        let start = self.position;
        Ok(match element_type {
            0x01 => f64::from_le_bytes(self.fixed()?).into_pyobject(py).map_err(PyErr::from)?.into_any(),
            0x02 => {
                let value = self.text()?;
                match self.names.text(py, value) {
                    Ok(text) => text.into_any(),
                    Err(_) if self.json => extended_text(py, value)?.into_any(),
                    Err(leave) => return Err(leave),
                }
            }
            BIG_INTEGER if self.json => {
                let digits = self.text()?;
                match py.get_type::<PyInt>().call1((text(py, digits)?,)) {
                    Ok(number) => number,
                    // A symbol of BSON's own.
                    Err(_) => self.left(element_type, start)?,
                }
            }
            0x03 => match self.document(depth)? {
                (dict, false) => dict.into_any(),
                (dict, true) if self.json => dict.into_any(),
                (_, true) => self.left(element_type, start)?,
            },
            0x04 => self.array(depth)?.into_any(),
            0x05 => {
                let length = self.length()?;
                let [subtype] = self.fixed()?;
                let bytes = self.take(length)?;
                if subtype == 0 { PyBytes::new(py, bytes).into_any() } else { self.left(element_type, start)? }
            }
            0x07 => self.types.object_id(py, self.take(12)?)?,
            0x08 => match self.fixed()? {
                [0] => false.into_pyobject(py).map_err(PyErr::from)?.to_owned().into_any(),
                [1] => true.into_pyobject(py).map_err(PyErr::from)?.to_owned().into_any(),
                _ => return Err(Leave),
            },
            0x09 => self.datetime()?,
            0x06 | 0x0a => py.None().into_bound(py),
            0x10 => i32::from_le_bytes(self.fixed()?).into_pyobject(py).map_err(PyErr::from)?.into_any(),
            0x12 if self.json => i64::from_le_bytes(self.fixed()?).into_pyobject(py).map_err(PyErr::from)?.into_any(),
            0x12 => self.types.int64.bind(py).call1((i64::from_le_bytes(self.fixed()?),))?,
            _ => {
                self.skip(element_type)?;
                self.left(element_type, start)?
            }
        })
    }

    /// Moves past a value of a type that `bson` decodes.
    fn skip(&mut self, element_type: u8) -> Walked<()> {
        match element_type {
            0x0b => {
                self.cstring()?;
                self.cstring()?;
            }
            0x0c => {
                self.text()?;
                self.take(12)?;
            }
            0x0d | 0x0e => {
                self.text()?;
            }
            0x0f => {
                let length = self.length()?.checked_sub(4).ok_or(Leave)?;
                self.take(length)?;
            }
            0x11 => {
                self.take(8)?;
            }
            0x13 => {
                self.take(16)?;
            }
            0x7f | 0xff => {}
            _ => return Err(Leave),
        }
        Ok(())
    }

    /// Lets `bson` decode the value from `start` to here.
    fn left(&self, element_type: u8, start: usize) -> Walked<Bound<'py, PyAny>> {
        let value = self.bytes.get(start..self.position).ok_or(Leave)?;
        let length = u32::try_from(value.len() + 8).map_err(|_| Leave)?;
        let mut document = Vec::with_capacity(value.len() + 8);
        document.extend_from_slice(&length.to_le_bytes());
        document.extend_from_slice(&[element_type, b'v', 0]);
        document.extend_from_slice(value);
        document.push(0);
        let decoded = decode_by_bson(self.py, &document, self.codec.given())?;
        Ok(decoded.bind(self.py).get_item("v")?)
    }

    fn datetime(&mut self) -> Walked<Bound<'py, PyAny>> {
        let millis = i64::from_le_bytes(self.fixed()?);
        let (days, millis) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
        let (year, month, day) = civil(days).ok_or(Leave)?;
        let (seconds, micros) = (millis / 1_000, millis % 1_000 * 1_000);
        let moment = Moment {
            year: year as u16,
            month: month as u8,
            day: day as u8,
            hour: (seconds / 3_600) as u8,
            minute: (seconds / 60 % 60) as u8,
            second: (seconds % 60) as u8,
            micros: micros as u32,
        };
        Ok(self.types.datetime(self.py, moment, self.codec.tz_aware())?)
    }
}

fn deeper(depth: usize) -> Walked<usize> {
    // The stack is bounded; `bson` raises the error.
    if depth >= MAX_DEPTH { Err(Leave) } else { Ok(depth + 1) }
}

/// The date of a day counted from 1970-01-01, within the years that `datetime`
/// has (<https://howardhinnant.github.io/date_algorithms.html#civil_from_days>).
fn civil(days: i64) -> Option<(i64, i64, i64)> {
    if !(-719_162..=2_932_896).contains(&days) {
        return None;
    }
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Some((year, month, day))
}

#[cfg(test)]
mod tests {
    use super::civil;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), Some((1970, 1, 1)));
        assert_eq!(civil(-1), Some((1969, 12, 31)));
        assert_eq!(civil(19_782), Some((2024, 2, 29)));
        assert_eq!(civil(-719_162), Some((1, 1, 1)));
        assert_eq!(civil(2_932_896), Some((9999, 12, 31)));
        assert_eq!(civil(-719_163), None);
        assert_eq!(civil(2_932_897), None);
    }
}
