//! The load: HTTP/1.1 over connections that are kept, with as little work of its own as can be, because it shares the cores with what it measures.
//!
//! Must not verify answers beyond their status.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Outcome;

/// A request as it goes over the wire.
pub(crate) type Request = Arc<[u8]>;

/// `GET` of a path, with a token unless it is empty.
pub(crate) fn get(path: &str, token: &str) -> Request {
    let authorization = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\n{authorization}\r\n").into_bytes().into()
}

/// One kept connection.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// The status of the answer, whose body is read to its end.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Outcome<u16> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let (status, end) = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the server closed the connection".into());
            }
            if let Some(answer) = head(&self.buffer)? {
                break answer;
            }
        };
        while self.buffer.len() < end {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the server closed the connection in the middle of an answer".into());
            }
        }
        Ok(status)
    }

    /// The last answer, head included.
    pub(crate) fn answer(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }
}

/// The status, and where the answer ends, once its head is there.
fn head(bytes: &[u8]) -> Outcome<Option<(u16, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end])?;
    let status = text.get(9..12).ok_or("an answer without a status")?.parse()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") { value.trim().parse::<usize>().ok() } else { None }
    });
    Ok(Some((status, end + 4 + length.ok_or("an answer without Content-Length")?)))
}

/// What a slice of load brought.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) seconds: f64,
    /// Milliseconds of each answer that was 200.
    pub(crate) latencies: Vec<f64>,
    /// Answers that were anything else.
    pub(crate) others: usize,
}

impl Load {
    /// Answers of 200 a second.
    pub(crate) fn rate(&self) -> f64 {
        crate::print::count(self.latencies.len()) / self.seconds
    }

    fn add(&mut self, status: u16, since: Instant) {
        if status == 200 {
            self.latencies.push(since.elapsed().as_secs_f64() * 1e3);
        } else {
            self.others += 1;
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.others += other.others;
        self.seconds += other.seconds;
    }
}

/// Connections that all send requests as fast as they are answered.
pub(crate) struct Crowd(Vec<Client>);

impl Crowd {
    pub(crate) async fn connect(address: SocketAddr, connections: usize) -> Outcome<Self> {
        let mut clients = Vec::with_capacity(connections);
        for _ in 0..connections {
            clients.push(Client::connect(address).await?);
        }
        Ok(Self(clients))
    }

    /// Sends the requests of the list in a loop until the time is over.
    pub(crate) async fn press(&mut self, requests: &Arc<[Request]>, time: Duration) -> Outcome<Load> {
        let begun = Instant::now();
        self.each(requests, move |_| begun.elapsed() < time).await
    }

    /// Sends every request once.
    pub(crate) async fn once(&mut self, requests: &Arc<[Request]>) -> Outcome<Load> {
        let all = requests.len();
        self.each(requests, move |number| number < all).await
    }

    async fn each(&mut self, requests: &Arc<[Request]>, go_on: impl Fn(usize) -> bool + Clone + Send + 'static) -> Outcome<Load> {
        let (begun, number, mut work) = (Instant::now(), Arc::new(AtomicUsize::new(0)), JoinSet::new());
        for mut client in self.0.drain(..) {
            let (requests, number, go_on) = (Arc::clone(requests), Arc::clone(&number), go_on.clone());
            work.spawn(async move {
                let mut load = Load::default();
                loop {
                    let number = number.fetch_add(1, Ordering::Relaxed);
                    if !go_on(number) {
                        return Outcome::Ok((client, load));
                    }
                    let since = Instant::now();
                    let status = client.send(&requests[number % requests.len()]).await?;
                    load.add(status, since);
                }
            });
        }
        let mut sum = Load::default();
        while let Some(worked) = work.join_next().await {
            let (client, load) = worked??;
            self.0.push(client);
            sum.merge(load);
        }
        sum.seconds = begun.elapsed().as_secs_f64();
        Ok(sum)
    }
}

/// Sends at a steady pace over so many connections, whatever the answers; a connection that is late leaves out what it missed. Latencies count from when the
/// request was due, so that a server that stalls is not spared the requests that it held up.
pub(crate) async fn pace(address: SocketAddr, request: Request, connections: u32, per_second: u32, time: Duration) -> Outcome<Load> {
    let (begun, mut work) = (Instant::now(), JoinSet::new());
    let interval = Duration::from_secs(1) * connections / per_second;
    for number in 0..connections {
        let request = Arc::clone(&request);
        work.spawn(async move {
            let (mut client, mut load) = (Client::connect(address).await?, Load::default());
            let mut due = begun + interval * number / connections;
            while due < begun + time {
                tokio::time::sleep_until(due.into()).await;
                let status = client.send(&request).await?;
                load.add(status, due);
                due += interval;
                while connections > 1 && due < Instant::now() {
                    due += interval;
                }
            }
            Outcome::Ok(load)
        });
    }
    let mut sum = Load::default();
    while let Some(worked) = work.join_next().await {
        sum.merge(worked??);
    }
    sum.seconds = begun.elapsed().as_secs_f64();
    Ok(sum)
}
