//! Time limits of a connection: for a request to begin, for its head to end, for its answer to be read.
//!
//! Must not count while a request is handled: its body and its answer have limits of their own (`body_bounds`, `service`).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::connection_limits::Limits;

/// Says why before hanging up on a head that does not end. There is no request yet, so no id and no language.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// After our last byte, how long and how much is still read: hanging up on bytes under way would take the answer with it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 4 * 1024 * 1024;

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const ANSWERING: u8 = 2;

/// What a connection is waiting for; shared by the socket and the service on it.
#[derive(Clone, Debug, Default)]
pub(super) struct Phase(Arc<AtomicU8>);

impl Phase {
    /// A request has begun to be answered.
    pub(super) fn answering(&self) {
        self.0.store(ANSWERING, Ordering::Relaxed);
    }

    /// Its answer is on the way; the next request may begin.
    pub(super) fn idle(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }

    /// Whether the bytes that arrived are a request's first.
    fn arrived(&self) -> bool {
        self.0.compare_exchange(IDLE, HEAD, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn now(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A time to wait until, counted from the first poll after it was disarmed.
struct Deadline {
    sleep: Pin<Box<Sleep>>,
    armed: Option<u8>,
}

impl Deadline {
    fn new() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(Duration::ZERO)), armed: None }
    }

    /// Ready when `wait` has passed since the first call for `phase`.
    fn poll(&mut self, cx: &mut Context<'_>, phase: u8, wait: Duration) -> Poll<()> {
        if self.armed != Some(phase) {
            self.armed = Some(phase);
            self.sleep.as_mut().reset(Instant::now() + wait);
        }
        self.sleep.as_mut().poll(cx)
    }
}

/// The stream, with its times.
pub(super) struct Socket {
    stream: TcpStream,
    phase: Phase,
    head: Duration,
    idle: Duration,
    answer: Duration,
    reading: Deadline,
    /// Until some byte is taken.
    writing: Deadline,
    /// Until all are.
    sending: Deadline,
    lingered: usize,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, phase: Phase, limits: &Limits) -> Self {
        // Answers are small and written whole: waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let (head, idle, answer) = (limits.head_timeout, limits.idle_timeout, limits.answer_timeout);
        let (reading, writing, sending) = (Deadline::new(), Deadline::new(), Deadline::new());
        Self { stream, phase, head, idle, answer, reading, writing, sending, lingered: 0 }
    }

    fn written(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if result.is_ready() {
            self.writing.armed = None;
            return result;
        }
        // Both are asked, so that both wake.
        let (stuck, late) = (self.writing.poll(cx, ANSWERING, self.idle), self.sending.poll(cx, ANSWERING, self.answer));
        if stuck.is_ready() || late.is_ready() { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) } else { Poll::Pending }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let result = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if result.is_ready() {
            if buffer.filled().len() > before && this.phase.arrived() {
                this.reading.armed = None;
            }
            return result;
        }
        let phase = this.phase.now();
        let wait = match phase {
            IDLE => this.idle,
            HEAD => this.head,
            _ => {
                this.reading.armed = None;
                return Poll::Pending;
            }
        };
        ready!(this.reading.poll(cx, phase, wait));
        if phase == HEAD {
            // Whoever sends slowly may read slowly. The error is written once; what does not fit is dropped.
            let _ = this.stream.try_write(TOO_SLOW);
        }
        // Nothing more comes, as far as the parser is concerned.
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.written(cx, result)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        // The parser flushes when it has nothing left to write: an answer, which is one piece, is sent.
        this.sending.armed = None;
        // The parser does not read again after an answer while an earlier read is pending: the idle time begins here.
        if this.phase.now() == IDLE && this.reading.poll(cx, IDLE, this.idle).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if ready!(Pin::new(&mut this.stream).poll_shutdown(cx)).is_err() {
            return Poll::Ready(Ok(()));
        }
        let mut waste = [0; 8 * 1024];
        while this.lingered < LINGER_BYTES {
            let mut buffer = ReadBuf::new(&mut waste);
            match Pin::new(&mut this.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => this.lingered += buffer.filled().len(),
                Poll::Ready(_) => break,
                Poll::Pending => {
                    ready!(this.writing.poll(cx, HEAD, LINGER));
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
