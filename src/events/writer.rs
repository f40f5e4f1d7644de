//! Writing an object as BSON, and checking on the way whether it may deviate from its
//! model. [`super::validate`] then finds out how.

use bson::{RawBsonRef, RawDocument};

use super::moment;
use super::schema::{FieldKind, Model};
use crate::codec::writer::{BsonWriter, Key, Sink};
use crate::error::Result;

/// Writes the plain BSON of a JSON object. What that cannot hold is refused, and is then
/// written in [`super::format`].
pub struct EventWriter {
    out: BsonWriter,
    /// What is being written, and what that is in.
    frames: Vec<Frame>,
    doubtful: bool,
}

#[derive(Clone, Copy)]
enum Frame {
    /// Something that may hold anything.
    Any,
    /// An object of a model; with the field that is looked for first.
    Object(&'static Model, usize),
    /// A list of values of a kind.
    List(&'static FieldKind),
}

impl EventWriter {
    /// A writer of an object of this model.
    pub fn new(model: &'static Model, capacity: usize) -> Self {
        let mut frames = Vec::with_capacity(16);
        frames.push(Frame::Object(model, 0));
        Self { out: BsonWriter::with_capacity(capacity), frames, doubtful: false }
    }

    /// The bytes, and whether they may deviate from the model.
    pub fn finish(self) -> (Vec<u8>, bool) {
        (self.out.buf, self.doubtful)
    }

    /// What the value of this key may be; `None` where it may be anything.
    #[inline]
    fn kind(&mut self, key: Key<'_>) -> Option<&'static FieldKind> {
        match (self.frames.last_mut()?, key) {
            (Frame::Object(model, near), Key::Name(name)) => {
                let (place, field) = model.field(name, *near)?;
                *near = place + 1;
                Some(&field.kind)
            }
            (Frame::List(kind), _) => Some(kind),
            _ => None,
        }
    }

    #[inline]
    fn scalar(&mut self, key: Key<'_>, fits: impl Fn(&FieldKind) -> bool) {
        if let Some(kind) = self.kind(key)
            && !match kind {
                FieldKind::Either(one, other) => fits(one) || fits(other),
                kind => fits(kind),
            }
        {
            self.doubtful = true;
        }
    }
}

/// What begins here, if it is of the kind.
fn frame(kind: &'static FieldKind, array: bool) -> Option<Frame> {
    match kind {
        FieldKind::Any => Some(Frame::Any),
        FieldKind::Mapping if !array => Some(Frame::Any),
        FieldKind::Object(model) if !array => Some(Frame::Object(model, 0)),
        FieldKind::List(kind) if array => Some(Frame::List(kind)),
        FieldKind::Either(one, other) => frame(one, array).or_else(|| frame(other, array)),
        _ => None,
    }
}

impl Sink for EventWriter {
    type Mark = usize;
    const JSON: bool = true;

    fn begin_root(&mut self) -> usize {
        self.out.begin_root()
    }

    fn begin(&mut self, key: Key<'_>, array: bool) -> usize {
        let frame = match self.kind(key) {
            None => Frame::Any,
            Some(kind) => frame(kind, array).unwrap_or_else(|| {
                self.doubtful = true;
                Frame::Any
            }),
        };
        self.frames.push(frame);
        self.out.begin(key, array)
    }

    fn end(&mut self, mark: usize) {
        self.frames.pop();
        self.out.end(mark);
    }

    fn null(&mut self, key: Key<'_>) {
        self.out.null(key);
    }

    fn boolean(&mut self, key: Key<'_>, value: bool) {
        self.scalar(key, |kind| matches!(kind, FieldKind::Boolean | FieldKind::Any));
        self.out.boolean(key, value);
    }

    fn int32(&mut self, key: Key<'_>, value: i32) {
        self.scalar(key, whole);
        self.out.int32(key, value);
    }

    fn int64(&mut self, key: Key<'_>, value: i64) {
        self.scalar(key, whole);
        self.out.int64(key, value);
    }

    fn double(&mut self, key: Key<'_>, value: f64) {
        self.scalar(key, |kind| matches!(kind, FieldKind::Number | FieldKind::Quantity | FieldKind::Any));
        self.out.double(key, value);
    }

    fn string(&mut self, key: Key<'_>, value: &str) {
        self.scalar(key, |kind| match kind {
            FieldKind::Text | FieldKind::Quantity | FieldKind::Level | FieldKind::Any => true,
            FieldKind::Moment | FieldKind::Date => value.is_empty() || moment::parse(value).is_some(),
            _ => false,
        });
        self.out.string(key, value);
    }

    /// Names that begin with `$` need the text form.
    fn is_wrapper(&self, _name: &str) -> bool {
        true
    }

    fn bytes(&mut self, key: Key<'_>, value: &[u8]) {
        self.doubtful = true;
        self.out.bytes(key, value);
    }

    fn object_id(&mut self, key: Key<'_>, value: [u8; 12]) {
        self.doubtful = true;
        self.out.object_id(key, value);
    }

    fn value(&mut self, key: Key<'_>, value: RawBsonRef<'_>, encoded: &[u8]) -> Result<()> {
        self.doubtful = true;
        self.out.value(key, value, encoded)
    }

    fn root_document(&mut self, document: &RawDocument, id: Option<[u8; 12]>) -> Result<()> {
        self.doubtful = true;
        self.out.root_document(document, id)
    }
}

fn whole(kind: &FieldKind) -> bool {
    matches!(kind, FieldKind::Integer | FieldKind::Number | FieldKind::Quantity | FieldKind::Level | FieldKind::Any)
}
