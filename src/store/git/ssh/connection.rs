//! A running ssh: what is sent to the server, what comes from it, and what ssh itself says.
//!
//! **Nothing here waits for ever.** Each piece that is written and each that is read has so long a
//! silence; then ssh is killed. What it says is collected beside, and taken as far as it has come:
//! a master that ssh leaves behind (`ControlPersist`) holds that pipe open for as long as it lives.

use std::io::{BufReader, ErrorKind, Read, Write as _};
use std::os::fd::AsFd;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::store::git::failure::{GitFailure, Outcome};
use crate::store::git::smart::lost;
use crate::store::remote::Limit;

/// What is kept of what ssh says, in bytes.
const MOST_WORDS: usize = 256 << 10;
/// How long ssh may take to end, in steps.
const ENDING: u32 = 300;
/// How long its last words may take, in steps.
const LAST_WORDS: u32 = 100;
const STEP: Duration = Duration::from_millis(10);
/// What is written at a time, in bytes.
const PIECE: usize = 64 << 10;
/// What ssh and the system may hold of what was written when the last piece has been, in bytes.
const UNDER_WAY: u64 = 3 << 20;
/// A line on which that goes at so many bytes a second is waited for.
const SLOWEST: u64 = 32 << 10;

/// How fast the other side must be, and how fast it may.
#[derive(Clone)]
pub(super) struct Pace {
    pub(super) silence: Duration,
    pub(super) upload: Limit,
    pub(super) download: Limit,
}

/// A running ssh.
pub(super) struct Connection {
    child: Child,
    to: Option<ChildStdin>,
    pub(super) from: BufReader<Answers>,
    words: Words,
    pace: Pace,
    pub(super) was_asked: bool,
    is_silent: bool,
}

impl Connection {
    /// Starts a program whose input and output are the server's.
    pub(super) fn start(mut command: Command, pace: &Pace) -> std::io::Result<Connection> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(to), Some(from), Some(words)) = pipes else {
            return Err(ErrorKind::BrokenPipe.into());
        };
        rustix::io::ioctl_fionbio(&to, true)?;
        let from =
            Answers { pipe: from, pace: pace.clone(), under_way: Duration::ZERO, is_silent: false };
        Ok(Connection {
            child,
            to: Some(to),
            from: BufReader::new(from),
            words: Words::collect(words),
            pace: pace.clone(),
            was_asked: false,
            is_silent: false,
        })
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Outcome<()> {
        let Some(to) = &mut self.to else {
            return Err(GitFailure::passing("the connection is closed"));
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            if let Err(error) = wait_for(&*to, PollFlags::OUT, self.pace.silence) {
                self.is_silent = error.kind() == ErrorKind::TimedOut;
                return Err(lost(&error));
            }
            let usual = rest.len().min(PIECE);
            let most = self.pace.upload.as_ref().map_or(usual, |limit| limit.piece(usual));
            match to.write(rest.get(..most).unwrap_or_default()) {
                Ok(count) => {
                    rest = rest.get(count..).unwrap_or_default();
                    if let Some(limit) = &self.pace.upload {
                        std::thread::sleep(limit.pause(count));
                    }
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(lost(&error)),
            }
        }
        let under_way = UNDER_WAY.min(bytes.len() as u64);
        self.from.get_mut().under_way = Duration::from_secs(under_way / SLOWEST);
        Ok(())
    }

    /// Says that nothing more will be sent.
    pub(super) fn close(&mut self) {
        drop(self.to.take());
    }

    /// Ends ssh and returns what it said. One whose server keeps silent is not waited for.
    pub(super) fn end(mut self) -> String {
        self.close();
        let steps = if self.is_silent || self.from.get_ref().is_silent { 0 } else { ENDING };
        wait_until(steps, || !matches!(self.child.try_wait(), Ok(None)));
        // What has ended by itself can't be killed, which is as well.
        let _killed = self.child.kill();
        self.words.take()
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.from.read(buffer)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// What comes from the server.
pub(super) struct Answers {
    pipe: ChildStdout,
    pace: Pace,
    /// How long what was sent last may take to get there.
    under_way: Duration,
    is_silent: bool,
}

impl Read for Answers {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let silence = self.pace.silence.saturating_add(std::mem::take(&mut self.under_way));
        wait_for(&self.pipe, PollFlags::IN, silence)
            .inspect_err(|error| self.is_silent = error.kind() == ErrorKind::TimedOut)?;
        let usual = buffer.len();
        let most = self.pace.download.as_ref().map_or(usual, |limit| limit.piece(usual));
        let count = self.pipe.read(buffer.get_mut(..most).unwrap_or_default())?;
        if let Some(limit) = &self.pace.download {
            std::thread::sleep(limit.pause(count));
        }
        Ok(count)
    }
}

/// Waits until a pipe takes or gives something; fails if it doesn't for so long.
fn wait_for(pipe: impl AsFd, what: PollFlags, silence: Duration) -> std::io::Result<()> {
    let mut pipes = [PollFd::new(&pipe, what)];
    let timeout = Timespec::try_from(silence).map_err(|_| ErrorKind::InvalidInput)?;
    loop {
        match poll(&mut pipes, Some(&timeout)) {
            Ok(0) => {
                let sentence = format!("no answer for {} s", silence.as_secs_f32());
                return Err(std::io::Error::new(ErrorKind::TimedOut, sentence));
            }
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn wait_until(steps: u32, mut is_so: impl FnMut() -> bool) {
    for _ in 0..steps {
        if is_so() {
            return;
        }
        std::thread::sleep(STEP);
    }
}

/// What ssh says on its own account.
struct Words {
    said: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Words {
    fn collect(mut from: ChildStderr) -> Words {
        let said: Arc<Mutex<Vec<u8>>> = Arc::default();
        let own = Arc::clone(&said);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // What is too much is taken and thrown away, so that ssh does not wait for a reader.
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                let mut said = own.lock().unwrap_or_else(PoisonError::into_inner);
                let count = count.min(MOST_WORDS.saturating_sub(said.len()));
                said.extend_from_slice(buffer.get(..count).unwrap_or_default());
            }
        });
        Words { said, reader }
    }

    /// Returns what has been said, a moment after ssh ended.
    fn take(&self) -> String {
        wait_until(LAST_WORDS, || self.reader.is_finished());
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&said).into_owned()
    }
}
