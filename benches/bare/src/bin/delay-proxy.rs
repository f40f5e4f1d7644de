//! A TCP proxy that delays what a server sends, as a distant server would: `delay-proxy PORT MICROSECONDS`. Prints its own
//! port and runs until its standard input is closed.
//!
//! Each connection has threads of its own, because the runtime's timers are accurate only to a millisecond.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

const CHUNK: usize = 1 << 18;

fn main() -> Result<()> {
    let argument = |position| {
        let text = std::env::args().nth(position);
        let number = text.and_then(|text| text.parse::<u64>().ok());
        number.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "usage: delay-proxy PORT MICROSECONDS"))
    };
    let port = u16::try_from(argument(1)?).map_err(|_| Error::new(ErrorKind::InvalidInput, "the port is too large"))?;
    let delay = Duration::from_micros(argument(2)?);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || drop(connect(client, port, delay)));
        }
    });
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

fn connect(client: TcpStream, port: u16, delay: Duration) -> Result<()> {
    let server = TcpStream::connect(("127.0.0.1", port))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut requests, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        drop(std::io::copy(&mut requests, &mut to_server));
        drop(to_server.shutdown(Shutdown::Write));
    });
    let (sender, receiver) = channel();
    thread::spawn(move || drop(deliver(&receiver, client)));
    let mut replies = server;
    loop {
        let mut chunk = vec![0; CHUNK];
        let count = replies.read(&mut chunk)?;
        chunk.truncate(count);
        if count == 0 || sender.send((Instant::now() + delay, chunk)).is_err() {
            return Ok(());
        }
    }
}

/// Writes each chunk once it is due.
fn deliver(chunks: &Receiver<(Instant, Vec<u8>)>, mut client: TcpStream) -> Result<()> {
    while let Ok((due, chunk)) = chunks.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        client.write_all(&chunk)?;
    }
    client.shutdown(Shutdown::Both)
}
