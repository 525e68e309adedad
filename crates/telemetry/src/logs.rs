//! Logs on standard error, for people or as one JSON object per line. Panics are log records too.
//!
//! A thread of its own writes them, so that whatever reads them cannot stop the program. Must not let through a record that may hold a Secret, whatever the filter says.

mod queue;

use std::panic::PanicHookInfo;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use self::queue::Queue;

/// The longest that the end of the process waits for its last records. Whatever reads them may be stuck.
const FLUSH: Duration = Duration::from_secs(2);

/// The process's, once logs are started.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// An error and everything behind it, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// How records look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Lines for a terminal.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

/// Text that is no [`Format`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be human or json")]
pub struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err(UnknownFormat),
        }
    }
}

/// Logs that cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is not in `tracing_subscriber::EnvFilter`'s language.
    #[error("the log filter cannot be read")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something else in the process logs already.
    #[error("logs are started already")]
    Started(#[from] TryInitError),
    /// There is no thread to write them.
    #[error("the thread that writes logs cannot be started")]
    Thread(#[from] std::io::Error),
}

/// Writes the last records when it is dropped: keep it until the end of the program.
#[derive(Debug)]
#[must_use]
pub struct Logs(());

impl Drop for Logs {
    fn drop(&mut self) {
        flush();
    }
}

/// Writes what was logged, before an end that drops nothing. Waits two seconds at most.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(FLUSH);
    }
}

/// How many records were lost because nobody read the log fast enough.
#[must_use]
pub fn lost() -> u64 {
    QUEUE.get().map_or(0, Queue::lost)
}

/// Logs from now on, for the whole process. `filter` is in the language of `RUST_LOG` ("info,operator=debug"; a target is a crate: `operator`, `api`, `tenancy`, `provisioning`); empty means `info`.
///
/// # Errors
/// When the filter cannot be read, or logs are started already.
pub fn start(format: Format, filter: &str) -> Result<Logs, Error> {
    let queue = Queue::default();
    let records = queue.clone();
    subscriber(format, filter, move || records.clone())?.try_init()?;
    let writing = QUEUE.get_or_init(|| queue).clone();
    std::thread::Builder::new().name("logs".into()).spawn(move || writing.write_to(std::io::stderr(), report_lost))?;
    std::panic::set_hook(Box::new(record_panic));
    Ok(Logs(()))
}

fn report_lost(lost: u64) {
    tracing::warn!(lost, "log records were lost, because what reads the log was too slow");
}

fn subscriber<W>(format: Format, filter: &str, writer: W) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, Error>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse(filter)?;
    // On an answer that it cannot parse, kube's client warns with the whole body, which may be a Secret.
    let registry = tracing_subscriber::registry().with(filter.add_directive("kube_client::client=error".parse()?));
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    Ok(match format {
        Format::Human => Box::new(registry.with(layer.with_ansi(false))),
        Format::Json => Box::new(registry.with(layer.json().flatten_event(true))),
    })
}

fn record_panic(panic: &PanicHookInfo<'_>) {
    let text = panic.payload_as_str().unwrap_or("not a text");
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(panic = text, location, "panicked");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(format: Format, filter: &str, log: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        tracing::subscriber::with_default(subscriber(format, filter, move || writer.clone()).unwrap(), log);
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_json_record_is_one_line_with_its_fields() {
        let line = written(Format::Json, "", || tracing::info!(school = "northside", "ready"));
        let record: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&record["school"], &record["message"], &record["level"]), (&"northside".into(), &"ready".into(), &"INFO".into()));
    }

    #[test]
    fn answers_that_the_client_cannot_parse_are_not_logged_whatever_the_filter() {
        for filter in ["trace", "kube_client=trace", "kube_client::client=trace"] {
            let log = written(Format::Human, filter, || {
                tracing::warn!(target: "kube_client::client", "canary");
                tracing::info!("seen");
            });
            assert!(!log.contains("canary"), "{filter}: {log}");
            assert_eq!(log.contains("seen"), filter == "trace", "{filter}: {log}");
        }
    }

    #[test]
    fn a_panic_is_a_record_with_its_place() {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(record_panic));
        let line = written(Format::Json, "", || assert!(std::panic::catch_unwind(|| panic!("out of crayons")).is_err()));
        std::panic::set_hook(before);
        let record: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((record["level"].as_str(), record["panic"].as_str()), (Some("ERROR"), Some("out of crayons")));
        assert!(record["location"].as_str().unwrap().contains("logs.rs"), "{record}");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_an_error() {
        assert!(matches!(subscriber(Format::Human, "dailycare=loud", std::io::sink), Err(Error::Filter(_))));
    }
}
