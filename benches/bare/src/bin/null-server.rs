//! A server that stores nothing, so that benchmarks measure only the client. One port implements the
//! MongoDB handshake and acknowledged writes, the other the Data API's inserts. Prints
//! `MONGODB_PORT HTTP_PORT` and runs until its standard input is closed.

use std::io::{Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use bson::{Bson, RawDocument, RawDocumentBuf, doc, rawdoc};
use memchr::memmem;

const OP_REPLY: i32 = 1;
const OP_QUERY: i32 = 2004;
const OP_MSG: i32 = 2013;

/// The replies to `find`: one document if it has a limit, otherwise a thousand different ones.
struct Found {
    one: RawDocumentBuf,
    thousand: RawDocumentBuf,
}

fn main() -> Result<()> {
    let mongodb = TcpListener::bind("127.0.0.1:0")?;
    let http = TcpListener::bind("127.0.0.1:0")?;
    let port = mongodb.local_addr()?.port();
    println!("{port} {}", http.local_addr()?.port());
    let document = std::env::args().nth(1).and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
    let found = Arc::new(Found { one: cursor(&document, 1), thousand: cursor(&document, 1000) });
    serve(mongodb, move |stream| drop(serve_mongodb(stream, port, &found)));
    serve(http, |stream| drop(serve_http(stream)));
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

fn serve(listener: TcpListener, handle: impl Fn(TcpStream) + Send + Sync + 'static) {
    let handle = Arc::new(handle);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handle = Arc::clone(&handle);
            drop(stream.set_nodelay(true));
            thread::spawn(move || handle(stream));
        }
    });
}

fn cursor(document: &[u8], count: usize) -> RawDocumentBuf {
    let document = RawDocument::from_bytes(document).ok().and_then(|raw| bson::Document::try_from(raw).ok());
    let document = Bson::Document(document.unwrap_or_default());
    let batch: Vec<Bson> = (0..count).map(|number| varied(&document, number)).collect();
    let reply = doc! { "cursor": { "firstBatch": batch, "id": 0_i64, "ns": "db.coll" }, "ok": 1.0 };
    RawDocumentBuf::try_from(&reply).unwrap_or_default()
}

/// The value with other digits in its texts: ids, dates, quantities and telephone numbers differ from document to
/// document, and names of things do not.
fn varied(value: &Bson, number: usize) -> Bson {
    match value {
        Bson::Document(document) => {
            Bson::Document(document.iter().map(|(name, value)| (name.clone(), varied(value, number))).collect())
        }
        Bson::Array(values) => Bson::Array(values.iter().map(|value| varied(value, number)).collect()),
        Bson::String(text) => {
            let mut rest = number;
            let mut digit = |digit: u32| {
                let sum = digit + (rest % 10) as u32;
                rest = if rest < 10 { number } else { rest / 10 };
                char::from_digit(sum % 10, 10).unwrap_or('0')
            };
            Bson::String(text.chars().map(|c| c.to_digit(10).map_or(c, &mut digit)).collect())
        }
        other => other.clone(),
    }
}

fn hello(port: u16) -> RawDocumentBuf {
    let me = format!("127.0.0.1:{port}");
    let mut hosts = bson::RawArrayBuf::new();
    hosts.push(me.as_str());
    rawdoc! {
        "helloOk": true,
        "ismaster": true,
        "isWritablePrimary": true,
        "secondary": false,
        "setName": "null",
        "setVersion": 1,
        "hosts": hosts,
        "me": me.as_str(),
        "primary": me.as_str(),
        "maxBsonObjectSize": 16_777_216,
        "maxMessageSizeBytes": 48_000_000,
        "maxWriteBatchSize": 100_000,
        "logicalSessionTimeoutMinutes": 30,
        "connectionId": 1,
        "minWireVersion": 0,
        "maxWireVersion": 25,
        "readOnly": false,
        "ok": 1.0,
    }
}

fn int(bytes: &[u8], offset: usize) -> i32 {
    bytes.get(offset..offset + 4).and_then(|four| four.try_into().ok()).map_or(0, i32::from_le_bytes)
}

fn serve_mongodb(mut stream: TcpStream, port: u16, found: &Found) -> Result<()> {
    let mut message = Vec::new();
    let mut reply = Vec::new();
    loop {
        let mut header = [0; 16];
        stream.read_exact(&mut header)?;
        message.resize((int(&header, 0) as usize).saturating_sub(16), 0);
        stream.read_exact(&mut message)?;
        let owned;
        let (opcode, body) = match int(&header, 12) {
            OP_QUERY => {
                owned = hello(port);
                (OP_REPLY, owned.as_bytes())
            }
            _ => {
                let (command, documents) = sections(&message);
                match command.as_str() {
                    "hello" | "isMaster" | "ismaster" => {
                        owned = hello(port);
                        (OP_MSG, owned.as_bytes())
                    }
                    "find one" => (OP_MSG, found.one.as_bytes()),
                    "find" => (OP_MSG, found.thousand.as_bytes()),
                    "update" => {
                        owned = rawdoc! { "n": documents, "nModified": documents, "ok": 1.0 };
                        (OP_MSG, owned.as_bytes())
                    }
                    _ => {
                        owned = rawdoc! { "n": documents, "ok": 1.0 };
                        (OP_MSG, owned.as_bytes())
                    }
                }
            }
        };
        reply.clear();
        let extra: &[u8] =
            if opcode == OP_REPLY { &[8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0] } else { &[0; 5] };
        for number in [(16 + extra.len() + body.len()) as i32, 1, int(&header, 4), opcode] {
            reply.extend_from_slice(&number.to_le_bytes());
        }
        reply.extend_from_slice(extra);
        reply.extend_from_slice(body);
        stream.write_all(&reply)?;
    }
}

/// Returns the command's name and the number of its documents.
fn sections(message: &[u8]) -> (String, i32) {
    let (mut command, mut documents) = (String::new(), 0);
    let mut offset = 4;
    while offset < message.len() {
        let kind = message[offset];
        let length = int(message, offset + 1) as usize;
        let section = message.get(offset + 1..offset + 1 + length).unwrap_or_default();
        if kind == 0 {
            if let Ok(body) = RawDocument::from_bytes(section) {
                command = body.iter().next().and_then(OkName::ok_name).unwrap_or_default();
                documents =
                    documents.max(body.get_array("documents").map_or(0, |array| array.into_iter().count() as i32));
                if command == "find" && body.get("limit").is_ok_and(|limit| limit.is_some()) {
                    command = "find one".to_owned();
                }
            }
        } else {
            // The section consists of its length, its name and the documents.
            let mut at = section.iter().skip(4).position(|&byte| byte == 0).map_or(section.len(), |end| end + 5);
            while at < section.len() {
                documents += 1;
                at += (int(section, at) as usize).max(5);
            }
        }
        offset += 1 + length.max(1);
    }
    (command, documents)
}

trait OkName {
    fn ok_name(self) -> Option<String>;
}

impl OkName for bson::error::Result<(&bson::raw::CStr, bson::raw::RawBsonRef<'_>)> {
    fn ok_name(self) -> Option<String> {
        self.ok().map(|(name, _)| name.as_str().to_owned())
    }
}

fn serve_http(mut stream: TcpStream) -> Result<()> {
    // The beginning of each document of a merged insert.
    let made_id = memmem::Finder::new(br#"{"_id":{"$oid":""#);
    let mut buffer = Vec::new();
    let mut chunk = vec![0; 1 << 18];
    loop {
        let (head, length) = loop {
            if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break (end + 4, content_length(&buffer[..end]));
            }
            let count = stream.read(&mut chunk)?;
            if count == 0 {
                return Ok(());
            }
            buffer.extend_from_slice(&chunk[..count]);
        };
        while buffer.len() < head + length {
            let count = stream.read(&mut chunk)?;
            if count == 0 {
                return Ok(());
            }
            buffer.extend_from_slice(&chunk[..count]);
        }
        let line = buffer.split(|&byte| byte == b'\r').next().unwrap_or_default();
        let has = |name: &[u8]| line.windows(name.len()).any(|window| window == name);
        let body = if has(b"insertMany") {
            let ids = vec!["1"; made_id.find_iter(&buffer[head..head + length]).count()];
            format!(r#"{{"insertedIds":[{}]}}"#, ids.join(","))
        } else if has(b"findOne") {
            r#"{"document":null}"#.to_owned()
        } else {
            r#"{"insertedId":{"$oid":"6193504e1be4ab27791c8133"}}"#.to_owned()
        };
        buffer.drain(..head + length);
        let response = format!(
            "HTTP/1.1 201 Created\r\ncontent-type: application/ejson\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(response.as_bytes())?;
    }
}

fn content_length(head: &[u8]) -> usize {
    String::from_utf8_lossy(head)
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}
