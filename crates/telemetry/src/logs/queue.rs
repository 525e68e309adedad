//! Log records between whoever logs and the thread that writes them. What reads the log may be slow or stuck: nobody who logs waits for it.
//!
//! Bounded in bytes: what does not fit is lost and counted. Must not block a caller, nor log while its lock is held.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Some thousand records.
const BOUND: usize = 1 << 20;

/// See the module. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// Records in `waiting`.
    records: u64,
    is_writing: bool,
    lost: u64,
}

impl Queue {
    /// Records that were lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.lock().lost
    }

    /// Waits until everything is written, but no longer than `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let is_busy = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        drop(self.0.emptied.wait_timeout_while(self.lock(), limit, is_busy));
    }

    /// Writes what is queued, for ever. `report` is told how many records were lost whenever there were some, once the log is read again.
    pub(super) fn write_to(&self, mut target: impl Write, report: impl Fn(u64)) {
        let (mut batch, mut reported) = (Vec::new(), 0);
        loop {
            let records = self.take(&mut batch);
            // A log that cannot be written must not end the process.
            let failed = target.write_all(&batch).and_then(|()| target.flush()).is_err();
            batch.clear();
            let lost = self.written(if failed { records } else { 0 });
            if lost > reported && !failed {
                report(lost - reported);
                reported = lost;
            }
        }
    }

    /// Swaps what is queued for the empty `batch`, as soon as there is something. Returns how many records it is.
    fn take(&self, batch: &mut Vec<u8>) -> u64 {
        let waiting = self.0.filled.wait_while(self.lock(), |state| state.waiting.is_empty());
        let mut state = waiting.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut state.waiting, batch);
        state.is_writing = true;
        std::mem::take(&mut state.records)
    }

    /// A batch is written, except for these records. Returns how many were ever lost.
    fn written(&self, failed: u64) -> u64 {
        let mut state = self.lock();
        state.is_writing = false;
        state.lost += failed;
        self.0.emptied.notify_all();
        state.lost
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call is one record.
impl Write for Queue {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let mut state = self.lock();
        if state.waiting.len() + record.len() > BOUND {
            state.lost += 1;
        } else {
            let was_empty = state.waiting.is_empty();
            state.waiting.extend_from_slice(record);
            state.records += 1;
            if was_empty {
                self.0.filled.notify_one();
            }
        }
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::sync::mpsc;

    use super::*;

    const LINE: &[u8] = b"a log record of a common length, as a request makes one: status, route, milliseconds, ids\n";

    #[test]
    fn a_reader_that_is_stuck_holds_up_nobody_and_what_is_lost_is_counted_and_told() {
        let (mut reader, writer) = io::pipe().unwrap();
        let (queue, (sender, reports)) = (Queue::default(), mpsc::channel());
        let writing = queue.clone();
        std::thread::spawn(move || writing.write_to(writer, |lost| sender.send(lost).unwrap()));
        let mut logging = queue.clone();
        let mut sent = 0;
        // The pipe and the queue are full when the first is lost. Nobody has read anything.
        while queue.lost() < 100 {
            logging.write_all(LINE).unwrap();
            sent += 1;
        }
        queue.flush(Duration::from_millis(1));
        let reading = std::thread::spawn(move || {
            let mut text = vec![0; usize::try_from(sent - 100).unwrap() * LINE.len()];
            reader.read_exact(&mut text).map(|()| (reader, text))
        });
        let (_reader, text) = reading.join().unwrap().unwrap();
        assert!(text.chunks(LINE.len()).all(|line| line == LINE), "a record was cut");
        assert_eq!(reports.recv().unwrap(), 100);
        queue.flush(Duration::from_mins(1));
        assert_eq!((queue.lost(), queue.lock().waiting.len()), (100, 0));
    }

    #[test]
    fn what_was_logged_is_written_when_flush_returns() {
        let (mut reader, writer) = io::pipe().unwrap();
        let queue = Queue::default();
        let writing = queue.clone();
        std::thread::spawn(move || writing.write_to(writer, |_| {}));
        for _ in 0..100 {
            queue.clone().write_all(LINE).unwrap();
            queue.flush(Duration::from_mins(1));
            let mut line = vec![0; LINE.len()];
            reader.read_exact(&mut line).unwrap();
            assert_eq!(line, LINE);
        }
    }

    #[test]
    fn a_log_that_cannot_be_written_is_counted_as_lost() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let queue = Queue::default();
        let writing = queue.clone();
        std::thread::spawn(move || writing.write_to(writer, |_| {}));
        queue.clone().write_all(LINE).unwrap();
        queue.flush(Duration::from_mins(1));
        assert_eq!(queue.lost(), 1);
    }
}
