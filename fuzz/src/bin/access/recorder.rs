//! A server that implements enough of MongoDB's wire protocol to receive commands, which it records.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use bson::{RawDocument, RawDocumentBuf, rawdoc};

/// A received command: its document, and its document sequences with their names.
#[derive(Debug)]
pub struct Command {
    pub document: RawDocumentBuf,
    pub sequences: Vec<(String, Vec<RawDocumentBuf>)>,
}

impl Command {
    /// Returns the command's name, which is the name of the first field.
    pub fn name(&self) -> &str {
        self.document.iter().next().and_then(Result::ok).map_or("", |(name, _)| name.as_str())
    }

    /// Returns the namespace of the command's cursor, as a server does.
    fn namespace(&self) -> String {
        let database = self.document.get_str("$db").unwrap_or_default();
        let collection = self.document.get_str(self.name()).unwrap_or("$cmd.aggregate");
        format!("{database}.{collection}")
    }
}

pub struct Recorder {
    pub address: SocketAddr,
    commands: Arc<Mutex<Vec<Command>>>,
}

/// The commands that clients send by themselves.
const INTERNAL_COMMANDS: [&str; 6] = ["hello", "ismaster", "isMaster", "ping", "endSessions", "killCursors"];
/// The ID of a cursor that has a second batch.
const CURSOR_ID: i64 = 7;

const OP_REPLY: i32 = 1;
const OP_QUERY: i32 = 2004;
const OP_MSG: i32 = 2013;

impl Recorder {
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let recorder = Self { address: listener.local_addr()?, commands: Arc::default() };
        let (commands, address) = (Arc::clone(&recorder.commands), recorder.address);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let commands = Arc::clone(&commands);
                std::thread::spawn(move || drop(serve(stream, address, &commands)));
            }
        });
        Ok(recorder)
    }

    /// Returns the commands since the last call.
    pub fn take(&self) -> Vec<Command> {
        std::mem::take(&mut *self.commands.lock().expect("the commands"))
    }
}

fn serve(mut stream: TcpStream, address: SocketAddr, commands: &Mutex<Vec<Command>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let mut head = [0; 16];
        stream.read_exact(&mut head)?;
        let number = |place: usize| i32::from_le_bytes(head[place..place + 4].try_into().expect("four bytes"));
        let (length, id, code) = (number(0), number(4), number(12));
        let mut body = vec![0; usize::try_from(length).unwrap_or_default().saturating_sub(16)];
        stream.read_exact(&mut body)?;
        let command = match code {
            OP_MSG => message(&body),
            OP_QUERY => query(&body),
            other => panic!("unknown opcode: {other}"),
        };
        let command = command.unwrap_or_else(|| panic!("malformed message: {body:?}"));
        let document = answer(&command, address);
        if !INTERNAL_COMMANDS.contains(&command.name()) {
            commands.lock().expect("the commands").push(command);
        }
        stream.write_all(&reply(id, code, &document))?;
    }
}

fn reply(to: i32, code: i32, document: &RawDocument) -> Vec<u8> {
    let (code, head): (i32, Vec<u8>) = match code {
        // The flags, the cursor ID, the start, and the number of documents.
        OP_QUERY => (OP_REPLY, [&8_i32.to_le_bytes()[..], &[0; 12], &1_i32.to_le_bytes()].concat()),
        // The flags, and a section with one document.
        _ => (OP_MSG, vec![0; 5]),
    };
    let length = i32::try_from(16 + head.len() + document.as_bytes().len()).expect("a length");
    let numbers = [length, 0, to, code].map(i32::to_le_bytes).concat();
    [numbers, head, document.as_bytes().to_vec()].concat()
}

fn query(body: &[u8]) -> Option<Command> {
    // The flags, the collection, the numbers to skip and to return, and the query.
    let name = body.get(4..)?.iter().position(|byte| *byte == 0)?;
    let (document, _) = document(body.get(4 + name + 1 + 8..)?)?;
    Some(Command { document, sequences: Vec::new() })
}

fn message(body: &[u8]) -> Option<Command> {
    let flags = u32::from_le_bytes(body.get(..4)?.try_into().ok()?);
    let checksum = if flags & 1 == 1 { 4 } else { 0 };
    let mut rest = body.get(4..body.len() - checksum)?;
    let (mut whole, mut sequences) = (None, Vec::new());
    while let Some((kind, section)) = rest.split_first() {
        if *kind == 0 {
            let (document, after) = document(section)?;
            (whole, rest) = (Some(document), after);
            continue;
        }
        let size = usize::try_from(i32::from_le_bytes(section.get(..4)?.try_into().ok()?)).ok()?;
        let (content, after) = (section.get(4..size)?, section.get(size..)?);
        let name = content.iter().position(|byte| *byte == 0)?;
        let (mut documents, mut left) = (Vec::new(), &content[name + 1..]);
        while !left.is_empty() {
            let (document, after) = document(left)?;
            documents.push(document);
            left = after;
        }
        sequences.push((String::from_utf8(content[..name].to_vec()).ok()?, documents));
        rest = after;
    }
    Some(Command { document: whole?, sequences })
}

fn document(bytes: &[u8]) -> Option<(RawDocumentBuf, &[u8])> {
    let length = usize::try_from(i32::from_le_bytes(bytes.get(..4)?.try_into().ok()?)).ok()?;
    Some((RawDocumentBuf::from_bytes(bytes.get(..length)?.to_vec()).ok()?, &bytes[length..]))
}

fn number(document: &RawDocument, name: &str) -> Option<i64> {
    match document.get(name).ok()?? {
        bson::RawBsonRef::Int32(number) => Some(number.into()),
        bson::RawBsonRef::Int64(number) => Some(number),
        _ => None,
    }
}

/// The answer of the primary of a replica set, which supports transactions.
fn answer(command: &Command, address: SocketAddr) -> RawDocumentBuf {
    let address = address.to_string();
    match command.name() {
        "hello" | "ismaster" | "isMaster" => rawdoc! {
            "ok": 1.0, "helloOk": true, "ismaster": true, "isWritablePrimary": true, "minWireVersion": 0,
            "maxWireVersion": 21, "maxBsonObjectSize": 16 * 1024 * 1024, "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 100_000, "logicalSessionTimeoutMinutes": 30, "readOnly": false,
            "setName": "rs", "hosts": [address.clone()], "me": address,
        },
        "find" | "aggregate" => {
            let of_cursor = command.document.get_document("cursor");
            let batch_size = number(&command.document, "batchSize").or_else(|| number(of_cursor.ok()?, "batchSize"));
            // A page of one document, and the beginning of the next one, or a cursor that has it.
            let (id, documents) = match (batch_size, number(&command.document, "limit")) {
                (Some(2), Some(2)) => (0, vec![rawdoc! { "_id": 1, "owner": "x" }, rawdoc! { "_id": 2, "owner": "x" }]),
                (Some(1), None) => (CURSOR_ID, vec![rawdoc! { "_id": 1, "owner": "x" }]),
                _ => (0, Vec::new()),
            };
            let documents = bson::RawArrayBuf::from_iter(documents);
            rawdoc! { "ok": 1.0, "cursor": { "id": id, "ns": command.namespace(), "firstBatch": documents } }
        }
        "getMore" => {
            let documents = bson::RawArrayBuf::from_iter([rawdoc! { "_id": 2, "owner": "x" }]);
            let collection = command.document.get_str("collection").unwrap_or_default();
            let database = command.document.get_str("$db").unwrap_or_default();
            let namespace = format!("{database}.{collection}");
            rawdoc! { "ok": 1.0, "cursor": { "id": 0_i64, "ns": namespace, "nextBatch": documents } }
        }
        "insert" => {
            let beside: usize = command.sequences.iter().map(|(_, documents)| documents.len()).sum();
            let within = command.document.get_array("documents").map_or(0, |documents| documents.into_iter().count());
            rawdoc! { "ok": 1.0, "n": i32::try_from(beside + within).unwrap_or(i32::MAX) }
        }
        "findAndModify" => {
            rawdoc! { "ok": 1.0, "value": bson::RawBson::Null, "lastErrorObject": { "n": 0, "updatedExisting": false } }
        }
        "distinct" => rawdoc! { "ok": 1.0, "values": bson::RawArrayBuf::new() },
        "update" => rawdoc! { "ok": 1.0, "n": 0, "nModified": 0 },
        _ => rawdoc! { "ok": 1.0, "n": 0 },
    }
}
