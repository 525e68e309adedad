//! A private Redis server (Valkey, which speaks Redis' protocol): started in milliseconds, paused, killed and started again at will.
//!
//! It keeps nothing on disk unless told to: [`Redis::start_again`] gives an empty server, or what a test let it `SAVE`. Must not know the product.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::error::Doing;
use super::port::Port;
use super::process::Launch;
use super::random::random_token;
use super::scratch::Scratch;
use super::{Lifetime, Process, Result, programs};

const HOST: &str = "127.0.0.1";
/// Ready takes milliseconds; a loaded machine takes its time.
const PATIENCE: Duration = Duration::from_mins(3);

/// One running server that asks for a password. Dropping it ends it.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    port: Port,
    password: String,
    // Dropped last: the server must have ended before its files go.
    _scratch: Option<Scratch>,
}

impl Redis {
    /// Starts a server with more settings, such as `("maxmemory", "2mb")`, and returns when it answers.
    ///
    /// # Errors
    /// When the program is not installed, or the server does not start; then with the end of its log.
    pub async fn start(settings: &[(&str, &str)]) -> Result<Self> {
        let (program, scratch) = (programs::valkey()?, Scratch::create("redis")?);
        let (port, password) = (Port::reserve()?, random_token()?);
        let number = port.number().to_string();
        let directory = scratch.path().display().to_string();
        let ours = [("bind", HOST), ("port", &number), ("requirepass", &password), ("dir", &directory), ("save", ""), ("appendonly", "no")];
        let arguments = ours.iter().chain(settings).flat_map(|(name, value)| [format!("--{name}"), (*value).to_owned()]);
        let launch = Launch {
            name: "redis",
            argv: [program.into_os_string()].into_iter().chain(arguments.map(OsString::from)).collect(),
            log: scratch.path().join("log"),
            record: scratch.path().join("pid"),
            lifetime: Lifetime::Test,
            stop: "TERM",
            abandon: "KILL",
        };
        let mut server = Self { process: Process::start(launch)?, port, password, _scratch: Some(scratch) };
        server.until_ready().await?;
        Ok(server)
    }

    /// Starts a server that outlives this process, or finds the one that runs in this directory already, and returns when it answers. Its port and its
    /// password stay the same from start to start.
    ///
    /// # Errors
    /// When the program is not installed, a file cannot be written, or the server does not start; then with the end of its log.
    pub async fn start_detached(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory).doing(|| format!("create {}", directory.display()))?;
        let (port_file, password_file) = (directory.join("port"), directory.join("password"));
        let recorded = fs::read_to_string(&port_file).ok().and_then(|port| port.trim().parse().ok());
        let password = if let Ok(password) = fs::read_to_string(&password_file) {
            password
        } else {
            let password = random_token()?;
            write_private(&password_file, &password)?;
            password
        };
        let (process, port) = if let Some((process, number)) = Process::find(detached(directory, Vec::new())).zip(recorded) {
            (process, Port::in_use(number))
        } else {
            let (port, settings) = (Port::prefer(recorded)?, directory.join("settings"));
            let number = port.number();
            let text =
                format!("bind {HOST}\nport {number}\nrequirepass {password}\ndir \"{}\"\nsave \"\"\nappendonly no\n", directory.display());
            // In a file and not in the command line, which everybody on the machine can read.
            write_private(&settings, &text)?;
            fs::write(&port_file, number.to_string()).doing(|| format!("write {}", port_file.display()))?;
            let argv = vec![programs::valkey()?.into_os_string(), settings.into_os_string()];
            (Process::start(detached(directory, argv))?, port)
        };
        let mut server = Self { process, port, password, _scratch: None };
        server.until_ready().await?;
        Ok(server)
    }

    /// The process id of the server that [`Redis::start_detached`] left running in `directory`, if it runs.
    #[must_use]
    pub fn detached(directory: &Path) -> Option<u32> {
        Process::find(detached(directory, Vec::new())).map(|process| process.pid())
    }

    /// Ends that server. False when it does not run.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub async fn stop_detached(directory: &Path) -> Result<bool> {
        let Some(mut process) = Process::find(detached(directory, Vec::new())) else { return Ok(false) };
        process.stop(PATIENCE).await.map(|()| true)
    }

    /// A URL for database 0, password included: for connecting, not for printing.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://:{}@{HOST}:{}/", self.password, self.port())
    }

    /// The port, which stays the same over [`Redis::start_again`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The password.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Shuts down in order and returns when the server is gone.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.stop(PATIENCE).await
    }

    /// Ends the server as a power cut would, and returns when it is gone.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Starts the server again after [`Redis::stop`] or [`Redis::kill`]: same port, same password.
    ///
    /// # Errors
    /// When it does not become ready; then with the end of its log.
    pub async fn start_again(&mut self) -> Result<()> {
        self.process.start_again()?;
        self.until_ready().await
    }

    /// Freezes the server: connections stay open and nothing answers, like a machine that hangs.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&self) -> Result<()> {
        self.process.pause()
    }

    /// Lets it go on after [`Redis::pause`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self) -> Result<()> {
        self.process.resume()
    }

    /// A server that loads its data answers with an error, and one that does not know us asks for the password: it must say PONG.
    async fn until_ready(&mut self) -> Result<()> {
        let (port, hello) = (self.port(), format!("AUTH {}\r\nPING\r\n", self.password));
        let ready = async || ping(port, &hello).await.is_ok_and(|answer| answer.ends_with(b"+PONG\r\n"));
        self.process.until("ready for connections", PATIENCE, ready).await
    }
}

fn detached(directory: &Path, argv: Vec<OsString>) -> Launch {
    Launch {
        name: "redis",
        argv,
        log: directory.join("log"),
        record: directory.join("pid"),
        lifetime: Lifetime::Detached,
        stop: "TERM",
        abandon: "KILL",
    }
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).doing(|| format!("write {}", path.display()))
}

async fn ping(port: u16, hello: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((HOST, port)).await?;
    stream.write_all(hello.as_bytes()).await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}
